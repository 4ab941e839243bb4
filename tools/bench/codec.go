package main

import "google.golang.org/grpc/mem"

// rawCodec sends and receives bytes as they are, so that a client costs no more than the
// connection does.
type rawCodec struct{}

// answer is what a rawCodec receives into.
type answer struct {
	wanted bool   // whether the bytes are looked at
	bytes  []byte // if they are
}

// Name is that of the codec whose bytes these are.
func (rawCodec) Name() string { return "proto" }

// Marshal takes a []byte.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal takes an *answer.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if a := v.(*answer); a.wanted {
		a.bytes = data.Materialize()
	}
	return nil
}
