"""Processes that use a real GPU through the driver's own library, so that no CUDA toolkit is needed (cuda.h)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HELD = 256 * 2**20
"""Bytes of device memory that each of them holds."""

# Counts for as long as it is told, on each thread, so that all SMs have something to do. PTX is compiled by the driver.
_PTX = """
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 result, .param .u32 rounds)
{
    .reg .pred %again;
    .reg .u32 %value, %round, %rounds;
    .reg .u64 %address;
    ld.param.u64 %address, [result];
    ld.param.u32 %rounds, [rounds];
    cvta.to.global.u64 %address, %address;
    mov.u32 %value, 1;
    mov.u32 %round, 0;
LOOP:
    mad.lo.u32 %value, %value, 1664525, 1013904223;
    add.u32 %round, %round, 1;
    setp.lt.u32 %again, %round, %rounds;
    @%again bra LOOP;
    st.global.u32 [%address], %value;
    ret;
}
"""

_PROGRAM = f"""
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")

def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    assert result == 0, (name, result)

device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
call("cuInit", 0)
call("cuDeviceGet", ctypes.byref(device), 0)
call("cuCtxCreate_v2", ctypes.byref(context), 0, device)
call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t({HELD}))
print("held", flush=True)
if sys.argv[1:] == ["compute"]:
    module, kernel, rounds = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint(1 << 20)
    call("cuModuleLoadData", ctypes.byref(module), {_PTX.encode()!r})
    call("cuModuleGetFunction", ctypes.byref(kernel), module, b"spin")
    arguments = (ctypes.c_void_p * 2)(ctypes.addressof(memory), ctypes.addressof(rounds))
    while True:
        call("cuLaunchKernel", kernel, 1024, 1, 1, 256, 1, 1, 0, None, arguments, None)
        call("cuCtxSynchronize")
time.sleep(600)
"""


@contextmanager
def cuda_process(eid: str, *, computes: bool = False) -> Iterator[int]:
    """Run a process of an environment that holds memory on the first device, and computes there; gives its pid."""
    command = [sys.executable, "-c", _PROGRAM, *(["compute"] if computes else [])]
    environment = {**os.environ, "GENV_ENVIRONMENT_ID": eid}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n", "the CUDA driver gives no memory"
            yield process.pid
        finally:
            process.kill()
