# SPDX-License-Identifier: BSD-3-Clause
#
# Prints C source without its comments, line for line.  A mark that stands in a
# string or a character is no comment.
{
    out = ""
    while ($0 != "") {
        if (comment) {
            end = index($0, "*/")
            if (end == 0)
                break
            $0 = substr($0, end + 2)
            comment = 0
            out = out " "
        } else if (!match($0, /\/\*|\/\/|"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/)) {
            out = out $0
            break
        } else {
            mark = substr($0, RSTART, 2)
            out = out substr($0, 1, RSTART - 1)
            if (mark == "//")
                break
            if (mark == "/*") {
                comment = 1
                $0 = substr($0, RSTART + 2)
            } else {
                out = out substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
            }
        }
    }
    print out
}
