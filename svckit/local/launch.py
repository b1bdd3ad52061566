"""Become a supervised child, then the program itself.

`python launch.py --signal N (--parent PID | --lifeline FD) [--uid UID] -- PROGRAM…`

Run by its path, before any package is importable, so it stands alone. Whatever happens to the supervisor, `kill -9`
included, the program is sent signal N: on Linux by the kernel (PR_SET_PDEATHSIG), elsewhere by this launcher, which
then stays and reads a pipe whose other end only the supervisor holds.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000  # linux/sched.h
CAP_DAC_OVERRIDE = 1  # linux/capability.h
CAPABILITY_VERSION_3 = 0x20080522


def leave_root(uid: int) -> None:
    """Appear as `uid` instead of root, with root's reach into files: no chown, no chmod, no new user."""
    try:
        enter_namespace(uid)
    except OSError:  # most containers forbid it
        keep_file_access(uid)


def enter_namespace(uid: int) -> None:
    """Enter a user namespace of one entry: root outside is `uid` inside (user_namespaces(7))."""
    outside_uid, outside_gid = os.getuid(), os.getgid()
    checked("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{uid} {outside_gid} 1")


def keep_file_access(uid: int) -> None:
    """Become `uid`, and keep of root's capabilities only that file permissions do not bind it (capabilities(7))."""
    checked("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    kept = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    checked("capset", header, effective_permitted_inheritable)
    checked("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def checked(function: str, *arguments: object) -> None:
    """Call a function of libc that returns 0, or raise OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def die_with_parent(parent: int, number: int) -> None:
    """Ask the kernel for signal `number` when the parent ends; call it after every change of credentials (prctl(2))."""
    checked("prctl", PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(f"the supervisor (pid {parent}) is gone")


def stay(lifeline: int, number: int, command: list[str]) -> int:
    """Run the program as a child, hand signals on, and end it when the lifeline's other end closes."""
    program: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(received: int, _frame: object) -> None:
        if program is None:
            early.append(received)
        else:
            program.send_signal(received)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(each, hand_on)
    program = running = subprocess.Popen(command, close_fds=False)  # noqa: S603 - the caller's own command
    for received in early:
        running.send_signal(received)

    def end_with_parent() -> None:
        os.read(lifeline, 1)  # nothing is ever written: this returns when the last writer is gone
        running.send_signal(number)

    threading.Thread(target=end_with_parent, daemon=True).start()
    code = running.wait()
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="launch.py")
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--lifeline", type=int)
    parser.add_argument("--uid", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    command: list[str] = options.command
    try:
        if options.uid is not None:
            leave_root(options.uid)
        if options.lifeline is not None:
            return stay(options.lifeline, options.signal, command)
        die_with_parent(options.parent, options.signal)
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
