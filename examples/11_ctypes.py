#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Example 11: Python, by ctypes: python3 11_ctypes.py visits.vista NAME [kill]

Counts the visits of each NAME; with kill it dies in the middle of one, which was then never made.
Strings and numbers of Python's own do not live in a segment: what does is laid out as C has it."""
import ctypes
import os
import signal
import sys

VISTA_CREATE = 0x0001
vista = ctypes.CDLL("libvista.so.0")
for function in ("vista_map", "vista_root", "vista_begin_transaction"):
    getattr(vista, function).restype = ctypes.c_void_p
vista.vista_errormsg.restype = ctypes.c_char_p


class Visitor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 24), ("visits", ctypes.c_uint64)]


def check(result):
    """Calls fail by -1 or by NULL, which is None."""
    if result is None or result == -1:
        sys.exit(vista.vista_errormsg().decode())
    return result


path, name = sys.argv[1].encode(), sys.argv[2].encode()
segment = ctypes.c_void_p(check(vista.vista_map(path, ctypes.c_size_t(1 << 20), VISTA_CREATE, None)))
table = Visitor * 100
visitors = table.from_address(check(vista.vista_root(segment, ctypes.c_size_t(ctypes.sizeof(table)))))
visitor = next((v for v in visitors if v.name in (name, b"")), None) or sys.exit("there is no room for more")
tx = ctypes.c_void_p(check(vista.vista_begin_transaction(segment, 0)))
check(vista.vista_set_range(tx, ctypes.byref(visitor), ctypes.c_size_t(ctypes.sizeof(visitor))))
visitor.name, visitor.visits = name, visitor.visits + 1
if "kill" in sys.argv[3:]:
    os.kill(os.getpid(), signal.SIGKILL)
check(vista.vista_end_transaction(tx, 0))
print(visitor.visits)
check(vista.vista_unmap(segment))
