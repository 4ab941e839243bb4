//go:build linux

package main

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endsWithParent has a process killed when this one ends, however it ends.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// alarm lets a goroutine sleep until an instant. It is more exact than time.Sleep, which on
// Linux may be late by a millisecond, and leaves the thread to others.
type alarm struct{ timer *os.File }

func newAlarm() (alarm, error) {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return alarm{}, os.NewSyscallError("timerfd_create", err)
	}
	return alarm{os.NewFile(uintptr(timer), "timer")}, nil
}

func (a alarm) sleepUntil(at time.Time) error {
	left := time.Until(at)
	if left <= 0 {
		return nil
	}
	connection, err := a.timer.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = connection.Control(func(timer uintptr) {
		failed = unix.TimerfdSettime(int(timer), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}, nil)
	})
	if err != nil {
		return err
	}
	if failed != nil {
		return os.NewSyscallError("timerfd_settime", failed)
	}
	_, err = a.timer.Read(make([]byte, 8)) // how often it has expired
	return err
}

func (a alarm) close() { _ = a.timer.Close() }
