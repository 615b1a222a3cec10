"""Takes rights from the process that calls it, for good: files (Landlock), system calls (seccomp), memory and time.

Linux on x86-64 and aarch64; the standard library alone, since it runs in a process that has nothing else. Numbers are
of the kernel's `unistd.h`, `landlock.h`, `filter.h` and `seccomp.h`.
"""

import ctypes
import os
import platform
import resource
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of a machine in `_CALLS`, and its AUDIT_ARCH."""
NO_NEW_PRIVS, DEATH_SIGNAL, DUMPABLE, CAP_DROP, AMBIENT, CLEAR_ALL = 38, 1, 4, 24, 47, 4
RULESET, RULE, RESTRICT = 444, 445, 446
SECCOMP, CAPSET = {"x86_64": (317, 126), "aarch64": (277, 91)}.get(platform.machine(), (0, 0))
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights to files a version of Landlock knows; from version 5 on 16."""
DENIED, KILLED, ALLOWED = 0x00050000 | 1, 0x80000000, 0x7FFF0000
_CALLS = {
    # name: (x86-64, aarch64); None where there is none
    "read": (0, 63), "write": (1, 64), "open": (2, None), "close": (3, 57), "stat": (4, None), "fstat": (5, 80),
    "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    "access": (21, None), "pipe": (22, None), "select": (23, None), "sched_yield": (24, 124), "mremap": (25, 216),
    "madvise": (28, 233), "dup": (32, 23), "dup2": (33, None), "nanosleep": (35, 101), "getpid": (39, 172),
    "recvfrom": (45, 207), "shutdown": (48, 210), "getsockname": (51, 204), "getpeername": (52, 205),
    "getsockopt": (55, 209), "exit": (60, 93), "uname": (63, 160), "getcwd": (79, 17), "readlink": (89, None),
    "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165), "times": (100, 153),
    "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173),
    "sigaltstack": (131, 132), "arch_prctl": (158, None), "gettid": (186, 178), "futex": (202, 98),
    "sched_getaffinity": (204, 123), "getdents64": (217, 61), "set_tid_address": (218, 96),
    "restart_syscall": (219, 128), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "epoll_wait": (232, None), "epoll_ctl": (233, 21),
    "openat": (257, 56), "newfstatat": (262, 79), "readlinkat": (267, 78), "faccessat": (269, 48),
    "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99), "epoll_pwait": (281, 22),
    "eventfd2": (290, 19), "epoll_create1": (291, 20), "dup3": (292, 24), "pipe2": (293, 59), "getrandom": (318, 278),
    "membarrier": (324, 283), "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439),
}  # fmt: skip
"""What computing in Python takes, and no more: no process or thread, no socket, no signal to others, no new right."""
_SOME = {
    # name: (numbers, argument, mask, values): allowed only where the argument is one of the values
    "ioctl": ((16, 29), 1, 0xFFFFFFFF, (0x5421, 0x5451)),  # non-blocking, close-on-exec
    "fcntl": ((72, 25), 1, 0xFFFFFFFF, (0, 1, 2, 3, 4, 1030)),  # not F_SETOWN, by which a pipe signals others
    "socketpair": ((53, 199), 1, 0xF, (1,)),  # streams, which know no address: asyncio wakes itself with one
    "sendto": ((44, 206), 4, 0xFFFFFFFF, (0,)),  # to the other end, to no address
    "prlimit64": ((302, 261), 2, 0xFFFFFFFF, (0,)),  # to look, not to set
}


def landlock_version() -> int:
    """Of the kernel; 0 where it has none, or has it switched off."""
    return max(0, int(_libc.syscall(RULESET, None, ctypes.c_size_t(0), 1)))


def can_filter() -> bool:
    """Whether seccomp filters can be set, on a machine whose system calls are known here."""
    action = ctypes.c_uint32(0x7FFF0000)
    return bool(SECCOMP) and _libc.syscall(SECCOMP, 2, 0, ctypes.byref(action)) == 0


def no_new_rights() -> None:
    """No program that is begun from here on can gain a right. Raises `OSError`."""
    _done(_libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def only_read(folders: "list[str]") -> None:
    """From now on: what is in `folders` may be read, no other file read, and none written, made or run.

    Nor is there TCP, where the kernel can withhold it. Raises `OSError`.
    """
    version = landlock_version()
    rights = (1 << FS_RIGHTS.get(version, 16)) - 1
    net, scoped = 3 if version >= 4 else 0, 3 if version >= 6 else 0
    parts = [rights, net, scoped][: 1 if version < 4 else 2 if version < 6 else 3]
    attributes = struct.pack(f"{len(parts)}Q", *parts)
    ruleset = _done(_libc.syscall(RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock_create_ruleset")
    for folder in folders:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", READ_FILE | READ_DIR, opened)
        _done(_libc.syscall(RULE, ruleset, 1, rule, 0), "landlock_add_rule")
        os.close(opened)
    _done(_libc.syscall(RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def apart() -> bool:
    """Into namespaces of its own without a network, where an unprivileged process may: a second wall, not the first."""
    user, net, ipc, host = 0x10000000, 0x40000000, 0x08000000, 0x04000000
    return _libc.unshare(user | net | ipc | host) == 0


def dies_with(parent: int) -> None:
    """End when the parent does; at once, if it has."""
    _libc.prctl(DEATH_SIGNAL, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def bounded(memory: int, seconds: int) -> None:
    """`memory` bytes of address space, `seconds` of CPU, no byte in a file, 64 descriptors, no core."""
    for what, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_MSGQUEUE, 0),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def powerless() -> None:
    """Without any capability, also as root."""
    _libc.prctl(AMBIENT, CLEAR_ALL, 0, 0, 0)
    for capability in range(64):
        _libc.prctl(CAP_DROP, capability, 0, 0, 0)
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _done(_libc.syscall(CAPSET, header, none), "capset")
    _libc.prctl(DUMPABLE, 0, 0, 0, 0)


def only_compute() -> None:
    """From now on: the system calls of `_CALLS` and `_SOME`; all others fail with EPERM. Raises `OSError`."""
    filters = _filters(*_MACHINES[platform.machine()])
    code = b"".join(struct.pack("HBBI", *one) for one in filters)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(buffer))
    _done(_libc.syscall(SECCOMP, 1, 0, program), "seccomp")


def _filters(column: int, machine: int) -> "list[tuple[int, int, int, int]]":
    """The BPF program: the machine, the call's number, and of some calls one argument."""
    load, equal, ret, mask, at_least = 0x20, 0x15, 0x06, 0x54, 0x35
    rows = [
        (load, 0, 0, 4), (equal, 1, 0, machine), (ret, 0, 0, KILLED),
        (load, 0, 0, 0), (at_least, 0, 1, 0x40000000), (ret, 0, 0, KILLED),  # x32, a second table of numbers
    ]  # fmt: skip
    for numbers in _CALLS.values():
        if (number := numbers[column]) is not None:
            rows += [(equal, 0, 1, number), (ret, 0, 0, ALLOWED)]
    own = ((234, 131), 0, 0xFFFFFFFF, (os.getpid(),))  # tgkill of itself, as abort() does
    for numbers, argument, bits, values in (*_SOME.values(), own):
        high, low = 16 + 8 * argument + 4, 16 + 8 * argument
        pointer = values == (0,)
        checks = [(load, 0, 0, high), (equal, 0, 255, 0)] if pointer else []
        checks += [(load, 0, 0, low), (mask, 0, 0, bits)]
        checks += [(equal, len(values) - i - 1 + 1, 0, value) for i, value in enumerate(values)]
        body = [*checks, (ret, 0, 0, DENIED), (ret, 0, 0, ALLOWED)]
        if pointer:
            body[1] = (equal, 0, len(body) - 4, 0)
        rows += [(equal, 0, len(body), numbers[column]), *body]
    return [*rows, (ret, 0, 0, DENIED)]


def _done(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(result)
