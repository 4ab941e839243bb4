package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// FuzzCalls sends bytes as the request of every call of the API, over a connection. No call fails
// by a fault of the server, none takes long, each refusal says why in the way that docs promise,
// and what is refused leaves no record.
func FuzzCalls(f *testing.F) {
	h := badHarness(f)
	if _, err := h.operator.PutCatalog(f.Context(), &usherv1.PutCatalogRequest{Yaml: deskCatalog(1, deskAgent)}); err != nil {
		f.Fatal(err)
	}
	rpcs := slices.SortedFunc(maps.Values(badRPCs(f)), func(a, b badRPC) int { return strings.Compare(a.name, b.name) })
	add := func(request proto.Message, raw []byte) {
		f.Add(uint8(slices.IndexFunc(rpcs, func(rpc badRPC) bool {
			return rpc.request.Descriptor() == request.ProtoReflect().Descriptor()
		})), raw)
	}
	for _, good := range goodRequests() {
		add(good, marshalled(f, good))
	}
	for _, bad := range slices.Concat(badDecisions(), badWrites(), badOperations()) {
		if raw := marshalled(f, bad.request); len(raw) < 2_000 {
			add(bad.request, raw)
		}
	}
	check := goodCheck()
	check.Resource.Attributes = &structpb.Struct{Fields: map[string]*structpb.Value{
		"wrap_up_seconds": structpb.NewNumberValue(12), "tags": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNullValue()}}),
	}}
	add(check, marshalled(f, check))
	add(check, nestedResource(50))
	watch := &usherv1.WatchChangesRequest{Tenant: "acme"}
	add(watch, marshalled(f, watch))
	for _, size := range []int{40, 1 << 20} {
		add(&usherv1.ImportRequest{}, importPieces(f, deskFile(bossLine), size))
	}

	heads := h.heads(f)
	f.Fuzz(func(t *testing.T, index uint8, raw []byte) {
		rpc := rpcs[int(index)%len(rpcs)]
		before := h.revision(t)
		begin := time.Now()
		err := h.callPieces(t.Context(), rpc, raw)
		if d := time.Since(begin); d > 30*time.Second {
			t.Errorf("%s took %v", rpc.name, d)
		}
		after := h.revision(t)
		if err == nil {
			if after != before {
				heads = h.heads(t)
			}
			return
		}
		s := status.Convert(err)
		switch s.Code() {
		case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.FailedPrecondition, codes.Aborted,
			codes.OutOfRange, codes.ResourceExhausted:
		default:
			t.Errorf("%s is answered with %v", rpc.name, err)
		}
		if !slices.ContainsFunc(s.Details(), func(detail any) bool {
			info, is := detail.(*errdetails.ErrorInfo)
			return is && info.GetDomain() == "usher" && info.GetReason() != ""
		}) {
			t.Errorf("%s is refused without a reason: %v", rpc.name, err)
		}
		if after != before {
			if now := h.heads(t); !slices.EqualFunc(now, heads, func(a, b *usherv1.Head) bool { return proto.Equal(a, b) }) {
				t.Errorf("%s is refused with %v, but the records went on from %v to %v", rpc.name, err, heads, now)
				heads = now
			}
		}
	})
}

// callPieces makes a call with bytes as its request. Those of a call that takes a stream are
// pieces, each after its length.
func (h *harness) callPieces(ctx context.Context, rpc badRPC, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := h.conn.NewStream(ctx, &rpc.stream, rpc.name, grpc.ForceCodec(badCodec{}))
	if err != nil {
		return err
	}
	pieces := [][]byte{raw}
	if rpc.stream.ClientStreams {
		pieces = pieces[:0]
		for len(raw) > 0 {
			size, n := binary.Uvarint(raw)
			if raw = raw[max(n, 1):]; size > uint64(len(raw)) {
				size = uint64(len(raw))
			}
			pieces, raw = append(pieces, raw[:size]), raw[size:]
		}
	}
	for _, piece := range pieces {
		if stream.SendMsg(&piece) != nil {
			break // RecvMsg says why
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var got []byte
		switch err := stream.RecvMsg(&got); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := proto.Unmarshal(got, rpc.response.New().Interface()); err != nil {
			return err
		}
		if rpc.name == usherv1.AdminService_WatchChanges_FullMethodName {
			return nil // it has no end
		}
	}
}

// importPieces is the import of a file as callPieces takes it, with so many bytes in a piece.
func importPieces(t testing.TB, file []byte, size int) []byte {
	t.Helper()
	var raw []byte
	add := func(m *usherv1.ImportRequest) {
		piece := marshalled(t, m)
		raw = append(binary.AppendUvarint(raw, uint64(len(piece))), piece...)
	}
	add(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: "a", Replace: true}}})
	for piece := range slices.Chunk(file, size) {
		add(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: piece}})
	}
	add(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_End{End: &usherv1.ImportEnd{}}})
	return raw
}

// revision is that of the data.
func (h *harness) revision(t testing.TB) (revision store.Revision) {
	t.Helper()
	if err := h.store.View(t.Context(), func(r store.Reader) error { revision = r.Revision(); return nil }); err != nil {
		t.Fatal(err)
	}
	return revision
}

func marshalled(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
