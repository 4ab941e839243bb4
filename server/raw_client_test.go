package server_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawClient speaks HTTP/2 frame by frame, which is how one does what no library does.
type rawClient struct {
	*http2.Framer
	t       *testing.T
	conn    net.Conn
	headers bytes.Buffer
	encoder *hpack.Encoder
}

// newRawClient begins HTTP/2 on a connection, which is closed at the end of the test.
func newRawClient(t *testing.T, conn net.Conn) *rawClient {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{Framer: http2.NewFramer(conn, conn), t: t, conn: conn}
	c.encoder = hpack.NewEncoder(&c.headers)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// block encodes the headers of a call, with more of them (names and values by turns).
func (c *rawClient) block(method string, more ...string) []byte {
	c.t.Helper()
	c.headers.Reset()
	fields := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "usher", "content-type", "application/grpc"}, more...)
	for i := 0; i < len(fields); i += 2 {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	return bytes.Clone(c.headers.Bytes())
}

// call sends the headers of a call.
func (c *rawClient) call(stream uint32, method string, more ...string) {
	c.t.Helper()
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block(method, more...), EndHeaders: true})
	if err != nil {
		c.t.Fatal(err)
	}
}

// answer reads up to the end of a stream, and returns its gRPC status, or the error code with
// which the stream was reset.
func (c *rawClient) answer(stream uint32) string {
	c.t.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			c.t.Fatal(err)
		}
		if frame.Header().StreamID != stream {
			continue
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.RegularFields() {
				if field.Name == "grpc-status" {
					return field.Value
				}
			}
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		}
	}
}

// ended reads until the server closes the connection, and returns the reason that it gave: the code
// and text of a GOAWAY, or nothing.
func (c *rawClient) ended() string {
	reason := ""
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return reason
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			reason = strings.TrimSpace(away.ErrCode.String() + " " + string(away.DebugData()))
		}
	}
}
