package server

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// explainingDecode returns the service with methods that answer INVALID_ARGUMENT to a
// request which is not valid protobuf (bytes that are no UTF-8, values nested without
// end). The library's answer, INTERNAL, would blame the server. It needs the codec
// explainingCodec.
func explainingDecode(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := make([]grpc.MethodDesc, len(desc.Methods))
	for i, method := range desc.Methods {
		handle := method.Handler
		method.Handler = func(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			var d decoding
			return handle(service, ctx, func(request any) error {
				d.request = request
				return decode(&d)
			}, func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				if d.err == nil {
					return interceptor(ctx, request, info, handler)
				}
				return interceptor(ctx, &d, info, d.explain)
			})
		}
		methods[i] = method
	}
	desc.Methods = methods
	return &desc
}

// decoding is a request that is decoded, and what went wrong.
type decoding struct {
	request any
	err     error
}

// explain is the method of a request that could not be decoded.
func (d *decoding) explain(context.Context, any) (any, error) {
	text := strings.TrimSpace(strings.TrimPrefix(d.err.Error(), "proto:"))
	return nil, invalid("", "MALFORMED_MESSAGE", "the request is not a valid %s: %s; build it with a protobuf library",
		d.request.(proto.Message).ProtoReflect().Descriptor().FullName(), text)
}

// explainingCodec keeps the error of decoding a request: one that it returned, grpc
// would answer with INTERNAL before the method is called.
type explainingCodec struct{ encoding.CodecV2 }

func (c explainingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	d, ok := v.(*decoding)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	d.err = c.CodecV2.Unmarshal(data, d.request)
	return nil
}
