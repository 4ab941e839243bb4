package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// connections are those that clients have with the gRPC server.
type connections struct {
	most    int
	refused atomic.Uint64

	mu      sync.Mutex
	open    map[*connection]bool
	ending  bool // those that shake hands are closed
	stopped bool // all are closed
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[*connection]bool{}}
}

// ListenGRPC returns the listener on which GRPC is to serve. It counts the connections of all such
// listeners together. What is more than Limits.Connections is closed as it comes, before a byte is
// read: a client that sees that can go to another server at once, and one that is kept waiting
// can't. Stop closes them.
func (s *Server) ListenGRPC(l net.Listener) net.Listener { return &listener{l, s.connections} }

type listener struct {
	net.Listener
	all *connections
}

// Accept waits for the next connection that is not refused.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.add(conn); c != nil {
			return c, nil
		}
		// What there is to know is in the count of those that were refused.
		_ = conn.Close()
	}
}

// add returns nil if there are too many.
func (cs *connections) add(conn net.Conn) *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= cs.most || cs.ending {
		cs.refused.Add(1)
		return nil
	}
	c := &connection{Conn: conn, all: cs}
	cs.open[c] = true
	return c
}

// end closes the connections that are shaking hands. The gRPC server, when it stops, waits for them.
func (cs *connections) end() {
	cs.close(func() { cs.ending = true }, func(c *connection) bool { return c.shaking })
}

// stop closes all connections.
func (cs *connections) stop() {
	cs.close(func() { cs.ending, cs.stopped = true, true }, func(*connection) bool { return true })
}

func (cs *connections) close(from func(), which func(*connection) bool) {
	cs.mu.Lock()
	from()
	var closing []*connection
	for c := range cs.open {
		if which(c) {
			closing = append(closing, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range closing {
		_ = c.Close() // it is not used any more
	}
}

func (cs *connections) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

// connection is one that is counted until it is closed.
type connection struct {
	net.Conn
	all     *connections
	shaking bool // guarded by all.mu
}

// SetDeadline tells when the handshakes begin and end: the gRPC server sets a deadline for them, and
// takes it off after.
func (c *connection) SetDeadline(t time.Time) error {
	c.all.mu.Lock()
	c.shaking = !t.IsZero()
	late := c.shaking && c.all.ending || c.all.stopped
	c.all.mu.Unlock()
	if late {
		return c.Close()
	}
	return c.Conn.SetDeadline(t)
}

// NetConn returns the connection that is counted, for who asks what the other end of it is.
func (c *connection) NetConn() net.Conn { return c.Conn }

// Close closes it.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

var (
	openConnections = prometheus.NewDesc("usher_connections",
		"Connections that clients have with the gRPC server.", nil, nil)
	refusedConnections = prometheus.NewDesc("usher_refused_connections_total",
		"Connections that were closed as they came, because there were too many or the server was stopping.", nil, nil)
)

// Describe implements prometheus.Collector.
func (cs *connections) Describe(out chan<- *prometheus.Desc) {
	out <- openConnections
	out <- refusedConnections
}

// Collect implements prometheus.Collector.
func (cs *connections) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(openConnections, prometheus.GaugeValue, float64(cs.count()))
	out <- prometheus.MustNewConstMetric(refusedConnections, prometheus.CounterValue, float64(cs.refused.Load()))
}
