package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// stage is where an experiment plays: the servers that it has started, and their clients.
// All of them end with it.
type stage struct {
	ctx   context.Context
	usher string // the binary
	files *files
	say   func(string)

	dir     string // for what is gone at the end
	sockets string // likewise; a path that is short, as those of sockets have to be
	named   int
	ends    []func() error
}

// play runs an experiment.
func (st *stage) play(e experiment) (r *result, err error) {
	begin := time.Now()
	if err := st.open(); err != nil {
		return nil, err
	}
	defer func() {
		if closing := st.close(); err == nil {
			err = closing
		}
	}()
	r, err = e.run(st)
	if err != nil {
		return nil, err
	}
	r.Seconds = time.Since(begin).Seconds()
	return r, nil
}

func (st *stage) open() (err error) {
	if st.dir, err = os.MkdirTemp(st.files.dir, "run-"); err != nil {
		return err
	}
	st.sockets, err = os.MkdirTemp("", "usher-bench-")
	return err
}

func (st *stage) close() error {
	var errs []error
	for _, end := range slices.Backward(st.ends) {
		errs = append(errs, end())
	}
	st.ends = nil
	return errors.Join(append(errs, os.RemoveAll(st.dir), os.RemoveAll(st.sockets))...)
}

// startReading starts Usher on a store with so many assignments, for what does not write.
func (st *stage) startReading(assignments int, args ...string) (*process, error) {
	data, err := st.files.directory(st.ctx, assignments, st.say)
	if err != nil {
		return nil, err
	}
	return st.startOn(st.usher, data, args...)
}

// startWriting starts Usher on a copy of such a store.
func (st *stage) startWriting(assignments int) (*process, error) {
	data, err := st.copied(assignments)
	if err != nil {
		return nil, err
	}
	return st.startOn(st.usher, data)
}

// copied returns a directory with a copy of such a store.
func (st *stage) copied(assignments int) (string, error) {
	data, err := os.MkdirTemp(st.dir, "data-")
	if err != nil {
		return "", err
	}
	return data, st.files.copyTo(st.ctx, data, assignments, st.say)
}

// startOn starts a build of Usher on the data in a directory.
func (st *stage) startOn(usher, data string, args ...string) (*process, error) {
	return st.start(append([]string{
		usher, "serve", "--data-dir", data, "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--unix-socket", st.newPath(st.sockets),
	}, args...)...)
}

// startAndStop starts Usher on the data in a directory, and stops it after use (nil: none).
func (st *stage) startAndStop(data string, use func(*process) error) error {
	s, err := st.startOn(st.usher, data)
	if err != nil {
		return err
	}
	defer s.stop()
	if use == nil {
		return nil
	}
	return use(s)
}

// startEcho starts an echo whose answer is the one of Usher's to these checks which is of
// middling length.
func (st *stage) startEcho(options string, usher *process, questions *load, args ...string) (*process, error) {
	answer, err := middlingAnswer(st.ctx, usher, questions)
	if err != nil {
		return nil, err
	}
	file := st.newPath(st.dir)
	if err := os.WriteFile(file, answer, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return st.start(append([]string{self, "echo", "-options", options, "-check", file, "-unix-socket", st.newPath(st.sockets)}, args...)...)
}

func (st *stage) start(argv ...string) (*process, error) {
	s, err := start(st.ctx, st.newPath(st.dir), argv...)
	if err != nil {
		return nil, err
	}
	st.ends = append(st.ends, func() error { s.stop(); return nil })
	return s, nil
}

// newPath returns a path in the directory that is not in use yet.
func (st *stage) newPath(dir string) string {
	st.named++
	return filepath.Join(dir, strconv.Itoa(st.named))
}

// client returns a client of a server, over its unix socket or TCP.
func (st *stage) client(s *process, transport string, l *load) (*client, error) {
	address := s.tcp
	if transport == "unix" {
		address = s.unix
	}
	options := s.options
	if s.tls != nil && transport != "unix" {
		options = append(slices.Clone(options), grpc.WithTransportCredentials(credentials.NewTLS(s.tls)))
	}
	c, err := dial(address, l, options...)
	if err != nil {
		return nil, err
	}
	st.ends = append(st.ends, c.close)
	return c, nil
}

// middlingAnswer asks the questions.
func middlingAnswer(ctx context.Context, usher *process, questions *load) ([]byte, error) {
	c, err := dial(usher.tcp, questions)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var answers [][]byte
	for _, question := range questions.requests {
		a := answer{wanted: true}
		if err := c.conns[0].Invoke(ctx, questions.method, question, &a); err != nil {
			return nil, err
		}
		if err := questions.verify(a.bytes); err != nil {
			return nil, err
		}
		answers = append(answers, a.bytes)
	}
	slices.SortFunc(answers, func(a, b []byte) int { return len(a) - len(b) })
	return answers[len(answers)/2], nil
}

// ask asks one thing and decodes the answer.
func ask[T proto.Message](ctx context.Context, s *process, method string, request proto.Message, response T) (T, error) {
	conn, err := grpc.NewClient(s.tcp, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return response, err
	}
	defer conn.Close()
	if err := conn.Invoke(ctx, method, request, response); err != nil {
		return response, fmt.Errorf("%s: %w", method, err)
	}
	return response, nil
}
