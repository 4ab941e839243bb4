package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// dribble writes the bytes, and then the last one again and again, one a second, until the
// connection is closed. It returns after how long that was.
func dribble(conn net.Conn, text []byte) time.Duration {
	begun := time.Now()
	for {
		if _, err := conn.Write(text[:1]); err != nil {
			return time.Since(begun)
		}
		if len(text) > 1 {
			text = text[1:]
		}
		time.Sleep(time.Second) // of the bubble
	}
}

// silence reads until the connection is closed, and returns after how long that was.
func silence(conn net.Conn) time.Duration {
	begun := time.Now()
	_, _ = io.Copy(io.Discard, conn)
	return time.Since(begun)
}

// TestSlowClientsAreCutOff connects as clients do that hold connections and never get to the point.
// Each is cut off in its time, and others are answered meanwhile.
func TestSlowClientsAreCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(t *testing.T, conn net.Conn) time.Duration
		after time.Duration // at most
	}{
		"that says nothing": {
			do:    func(_ *testing.T, conn net.Conn) time.Duration { return silence(conn) },
			after: 10 * time.Second,
		},
		"that sends the preface byte by byte": {
			do:    func(_ *testing.T, conn net.Conn) time.Duration { return dribble(conn, []byte(http2.ClientPreface)) },
			after: 11 * time.Second,
		},
		"that sends the preface and no settings": {
			do: func(t *testing.T, conn net.Conn) time.Duration {
				if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
					t.Fatal(err)
				}
				return silence(conn)
			},
			after: 10 * time.Second,
		},
		"that does not speak HTTP/2": {
			do: func(t *testing.T, conn net.Conn) time.Duration {
				if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: usher\r\nUser-Agent: something\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				return silence(conn)
			},
			after: 0,
		},
		"that never ends its headers": {
			do: func(t *testing.T, conn net.Conn) time.Duration {
				raw := newRawClient(t, conn)
				block := raw.block(usherv1.DecisionService_Check_FullMethodName)
				if err := raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3]}); err != nil {
					t.Fatal(err)
				}
				return silence(conn)
			},
			after: 80 * time.Second, // of keepalive
		},
		"that sends its headers byte by byte": {
			do: func(t *testing.T, conn net.Conn) time.Duration {
				raw := newRawClient(t, conn)
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				begun := time.Now()
				block := raw.block("/" + strings.Repeat("x", 10_000))
				if err := raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:1]}); err != nil {
					t.Fatal(err)
				}
				for _, b := range block[1:] {
					if err := raw.WriteContinuation(1, false, []byte{b}); err != nil {
						break
					}
					time.Sleep(time.Second) // of the bubble
				}
				return time.Since(begun)
			},
			after: 81 * time.Second,
		},
		"that does not answer pings": {
			do: func(t *testing.T, conn net.Conn) time.Duration {
				newRawClient(t, conn)
				return silence(conn)
			},
			after: 80 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipe := bufconn.Listen(1 << 20)
				h, _ := limited(t, server.Limits{}, pipe)
				raceTenant(t, h, "t", "liveagent")
				conn, err := pipe.Dial()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				cut := make(chan time.Duration)
				go func() { cut <- test.do(t, conn) }()
				if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
					t.Error(err)
				}
				if after := <-cut; after > test.after {
					t.Errorf("it was cut off after %v, want %v at most", after, test.after)
				}
				_ = h.conn.Close()
				synctest.Wait()
				h.wantMetric(t, "usher_connections 0")
			})
		})
	}
}

// TestHalfTLSHandshakesAreCutOff begins a handshake of TLS and does not end it: with nothing, with the
// first bytes of a ClientHello, and with a whole one.
func TestHalfTLSHandshakesAreCutOff(t *testing.T) {
	hello := func() []byte {
		client, seen := net.Pipe()
		go func() {
			_ = tls.Client(client, &tls.Config{ServerName: "usher", NextProtos: []string{"h2"}}).Handshake()
		}()
		defer func() { _ = seen.Close() }()
		text := make([]byte, 16<<10)
		n, err := seen.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return text[:n]
	}()
	for _, sent := range []int{0, 1, 5, 100, len(hello)} {
		synctest.Test(t, func(t *testing.T) {
			pipe := bufconn.Listen(1 << 20)
			cache := server.NewCache(1 << 20)
			st, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = st.Close() }()
			s, err := server.New(t.Context(), server.Config{Store: st, Cache: cache, Credentials: credentials.NewTLS(&tls.Config{
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(t), nil },
			})})
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() { _ = s.GRPC().Serve(s.ListenGRPC(pipe)); close(served) }()
			defer func() { s.Stop(t.Context()); <-served }()
			conn, err := pipe.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write(hello[:sent]); err != nil {
				t.Fatal(err)
			}
			if after := silence(conn); after > 10*time.Second {
				t.Errorf("after %d of %d bytes it was cut off after %v", sent, len(hello), after)
			}
		})
	}
}

// certificate makes a certificate that signs itself.
func certificate(t *testing.T) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"usher"}, NotAfter: time.Now().Add(time.Hour)}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}
}

// TestSlowHTTPClientsAreCutOff does the same on the port of metrics and health.
func TestSlowHTTPClientsAreCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(conn net.Conn) time.Duration
		after time.Duration
	}{
		"that says nothing":                   {silence, 5 * time.Second},
		"that sends its request byte by byte": {func(conn net.Conn) time.Duration { return dribble(conn, []byte("GET /metrics HTTP/1.1\r\nX: x")) }, 6 * time.Second},
		"that stays after its answer": {func(conn net.Conn) time.Duration {
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: usher\r\n\r\n")
			return silence(conn)
		}, 2 * time.Minute},
		"that takes no answer": {func(conn net.Conn) time.Duration {
			begun := time.Now()
			for err := error(nil); err == nil; { // until there is no room for more answers, and so no more is read
				_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: usher\r\n\r\n")
			}
			return time.Since(begun)
		}, 45 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := limited(t, server.Limits{}, bufconn.Listen(1<<20))
				pipe := bufconn.Listen(64 << 10)
				web := server.NewHTTPServer(h.server.HTTP(), slog.New(slog.DiscardHandler))
				served := make(chan struct{})
				go func() { _ = web.Serve(pipe); close(served) }()
				defer func() { _ = web.Close(); <-served }()
				conn, err := pipe.Dial()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				if after := test.do(conn); after > test.after {
					t.Errorf("it was cut off after %v, want %v at most", after, test.after)
				}
			})
		})
	}
}

// TestRudeClientsAreTurnedAway sends what HTTP/2 allows and no client needs.
func TestRudeClientsAreTurnedAway(t *testing.T) {
	const check = usherv1.DecisionService_Check_FullMethodName
	for name, do := range map[string]func(t *testing.T, raw *rawClient){
		"pings without end": func(t *testing.T, raw *rawClient) {
			go func() {
				for range 100 {
					if raw.WritePing(false, [8]byte{1}) != nil {
						return
					}
				}
			}()
			if got := raw.ended(); got != "ENHANCE_YOUR_CALM too_many_pings" {
				t.Errorf("it was told %q", got)
			}
		},
		"a huge header": func(_ *testing.T, raw *rawClient) {
			block := raw.block(check, "x", strings.Repeat("x", 40<<10))
			_ = raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10]})
			_ = raw.WriteContinuation(1, false, block[16<<10:32<<10])
			raw.ended() // whatever it is told
		},
		"huge headers": func(t *testing.T, raw *rawClient) {
			var fields []string
			for i := range 32 {
				fields = append(fields, fmt.Sprint("x", i), strings.Repeat("x", 1<<10))
			}
			block := raw.block(check, fields...)
			for first, piece := true, []byte(nil); len(block) > 0; first = false {
				piece, block = block[:min(len(block), 16<<10)], block[min(len(block), 16<<10):]
				var err error
				if first {
					err = raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: piece, EndHeaders: len(block) == 0})
				} else {
					err = raw.WriteContinuation(1, len(block) == 0, piece)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := raw.answer(1); got != "FRAME_SIZE_ERROR" {
				t.Errorf("it was answered %s", got)
			}
		},
		"calls that are reset at once": func(t *testing.T, raw *rawClient) {
			answers := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, raw.conn); close(answers) }()
			for stream := uint32(1); stream < 20_000; stream += 2 {
				raw.call(stream, check)
				if err := raw.WriteRSTStream(stream, http2.ErrCodeCancel); err != nil {
					t.Fatal(err)
				}
			}
			_ = raw.conn.Close()
			<-answers
		},
		"an end in the middle of a call": func(t *testing.T, raw *rawClient) {
			raw.call(1, check)
			if err := raw.WriteData(1, false, []byte{0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			_ = raw.conn.Close()
		},
		"more calls at once than a connection may": func(t *testing.T, raw *rawClient) {
			for stream := uint32(1); stream <= 11; stream += 2 {
				raw.call(stream, check)
			}
			if got := raw.answer(11); got != "REFUSED_STREAM" {
				t.Errorf("the sixth was answered %s", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipe := bufconn.Listen(1 << 20)
				h, _ := limited(t, server.Limits{Streams: 5}, pipe)
				raceTenant(t, h, "t", "liveagent")
				conn, err := pipe.Dial()
				if err != nil {
					t.Fatal(err)
				}
				raw := newRawClient(t, conn)
				do(t, raw)
				_ = conn.Close()
				if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
					t.Error(err)
				}
				_ = h.conn.Close()
				synctest.Wait()
				h.wantMetric(t, "usher_connections 0")
				h.wantMetric(t, "usher_checks_in_flight 0")
			})
		})
	}
}

// TestResetConnections cuts connections over TCP as a machine does that goes away: with a reset, in
// the middle of calls.
func TestResetConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, stop := limited(t, server.Limits{}, listener)
	raceTenant(t, h, "t", "liveagent")
	for range 200 {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw := newRawClient(t, conn)
		raw.call(1, usherv1.DecisionService_Check_FullMethodName)
		raw.call(3, usherv1.AdminService_WatchChanges_FullMethodName)
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.server.Stop(ctx)
	if ctx.Err() != nil {
		t.Error("it could not stop by itself")
	}
	h.wantMetric(t, "usher_connections 0")
	h.wantMetric(t, "usher_checks_in_flight 0")
	stop()
}

// TestClientsThatNeverRead has clients who ask for much and take nothing: exports, and watches of
// many changes. Others are served, the memory stays bounded, and they are given up in the end.
func TestClientsThatNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := bufconn.Listen(1 << 16)
		h, _ := limited(t, server.Limits{}, pipe)
		raceTenant(t, h, "t", "liveagent")
		held := make([]store.Assignment, 5_000)
		for i := range held {
			held[i] = store.Assignment{AssignmentKey: store.AssignmentKey{
				Subject: fmt.Sprintf("user:%0250d", i/100), Role: "agent", Scope: fmt.Sprintf("department:%0245d", i),
			}}
		}
		begin := h.store.Revision()
		h.assign(t, held...) // more than 2 MiB
		before := heapInUse()
		const clients = 20
		for range clients {
			conn, err := pipe.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			raw := newRawClient(t, conn)
			raw.call(1, usherv1.OperatorService_Export_FullMethodName)
			raw.call(3, usherv1.AdminService_WatchChanges_FullMethodName)
			if err := raw.WriteData(1, true, make([]byte, 5)); err != nil { // an empty message
				t.Fatal(err)
			}
			watch := append([]byte{10, 1, 't', 18, byte(len(begin.String()))}, begin.String()...)
			if err := raw.WriteData(3, true, append([]byte{0, 0, 0, 0, byte(len(watch))}, watch...)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		h.wantMetric(t, fmt.Sprintf(`usher_administrative_calls{state="running"} %d`, clients))
		grown := int64(heapInUse()) - int64(before)
		t.Logf("%d exports and %d watches that nobody reads take %d KiB", clients, clients, grown>>10)
		// A watcher of a large write has a message of 256 KiB, which takes several times that while it is encoded; the rest is the exports.
		if grown > clients*6<<20 {
			t.Errorf("they take %d MiB", grown>>20)
		}
		if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: "user:ann", Role: "agent", By: byOperator()}); err != nil {
			t.Error(err)
		}
		if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
			t.Error(err)
		}
		time.Sleep(31 * time.Second) // of the bubble
		synctest.Wait()
		h.wantMetric(t, `usher_administrative_calls{state="running"} 0`)
	})
}

// heapInUse is how many bytes are in use after a collection.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// TestIdleConnections opens as many connections as a server takes, ten thousand if the process may,
// and does nothing with them: checks go on. One more is refused.
func TestIdleConnections(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	most := int(min(10_000, (files.Cur-200)/2)) // both ends are in this process
	if most < 1_000 {
		t.Skipf("the process may have %d files open, which is too few", files.Cur)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, _ := limited(t, server.Limits{Connections: most}, listener)
	raceTenant(t, h, "t", "liveagent")
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	if err := http2.NewFramer(&hello, nil).WriteSettings(); err != nil {
		t.Fatal(err)
	}
	connect := func() net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(hello.Bytes()); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	before := heapInUse()
	idle := make([]net.Conn, most-1) // and that of the harness
	for i := range idle {
		idle[i] = connect()
		// Its settings have come: the handshake is through.
		if _, err := io.ReadFull(idle[i], make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d connections; each takes %d bytes, this end of it included", most, (heapInUse()-before)/uint64(most))
	h.wantMetric(t, fmt.Sprint("usher_connections ", most))
	for range 100 {
		if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
			t.Fatal(err)
		}
	}
	refused := func() bool {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write(hello.Bytes()) // it may be closed already
		_, err = conn.Read(make([]byte, 1))
		return err != nil
	}
	if !refused() {
		t.Error("one too many was accepted")
	}
	h.wantMetric(t, "usher_refused_connections_total 1")
	_ = idle[0].Close()
	for end := time.Now().Add(time.Minute); refused(); {
		if time.Now().After(end) {
			t.Fatal("there is no room after one was closed")
		}
	}
}
