# SPDX-License-Identifier: BSD-3-Clause
#
# Completion for bash of the command `vista`: commands and options as its --help has them,
# and files.

_vista() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]:-} vista=${COMP_WORDS[0]} words
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        words=$("$vista" --help 2>/dev/null | sed -nE 's/^  ([a-z]+|--[a-z]+) .*/\1/p')
    elif [[ $word == -* ]]; then
        words=$("$vista" "$command" --help 2>/dev/null | grep -oE '^ .*' |
            sed -nE 's/^  +(-[a-z], )?(--[a-z-]+).*/\2/p')$'\n--help'
    else
        return # -o default: files
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _vista vista
