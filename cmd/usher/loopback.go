package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// listenTCP listens on a TCP address, which checkAddress has found right.
func (s *settings) listenTCP(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is taken by another process\n"+
			"  Stop that one, or choose another port (0: any that is free)", s.named(name), address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.named(name), address, err)
	}
	// A name may stand for anything, also localhost.
	if bound, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !bound.Addr().IsLoopback() && !s.isGuarded() {
		l.Close()
		_, port, _ := net.SplitHostPort(address)
		return nil, s.refuseAddress(name, address, port)
	}
	return l, nil
}

// isLoopback doesn't look names up: what they stand for can change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
