package access

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// processAt asks the kernel for the process at the other end of a unix socket.
func processAt(conn net.Conn) (*Process, error) {
	socket, ok := unwrapped(conn).(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%T doesn't show the unix socket that it is", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var process *unix.Ucred
	var fault error
	if err := raw.Control(func(fd uintptr) {
		process, fault = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if fault != nil {
		return nil, fmt.Errorf("asking for the process at a unix socket: %w", fault)
	}
	return &Process{UID: process.Uid, GID: process.Gid}, nil
}
