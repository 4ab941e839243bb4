package server

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// register adds a service whose calls are counted and go through these interceptors,
// outermost first. Each service has interceptors of its own, so that a check passes none that
// it does not need.
//
// A request that is not valid protobuf (bytes that are no UTF-8, values nested without
// end) is answered with INVALID_ARGUMENT. The library's answer, INTERNAL, would blame
// the server. This needs the codec.
func (s *Server) register(g *grpc.Server, desc grpc.ServiceDesc, implementation any, interceptors ...grpc.UnaryServerInterceptor) {
	methods := make([]grpc.MethodDesc, len(desc.Methods))
	for i, method := range desc.Methods {
		handle := method.Handler
		intercept := s.around("unary", desc.ServiceName, method.MethodName, interceptors)
		info := &grpc.UnaryServerInfo{Server: implementation, FullMethod: "/" + desc.ServiceName + "/" + method.MethodName}
		method.Handler = func(service any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			admitted := admissionOf(ctx)
			if err := admitted.refusal(); err != nil {
				return nil, err
			}
			defer admitted.leave()
			var d decoding
			response, err := handle(service, ctx, func(request any) error {
				d.request = request
				if err := decode(&d); err != nil {
					return err
				}
				admitted.requestCame()
				return d.err
			}, intercept)
			if d.err != nil {
				return intercept(ctx, nil, info, d.explain)
			}
			return response, err
		}
		methods[i] = method
	}
	streams := make([]grpc.StreamDesc, len(desc.Streams))
	for i, stream := range desc.Streams {
		if stream.ClientStreams {
			intercept := s.around("bidi_stream", desc.ServiceName, stream.StreamName, interceptors)
			info := &grpc.UnaryServerInfo{Server: implementation, FullMethod: "/" + desc.ServiceName + "/" + stream.StreamName}
			stream.Handler = s.converse(stream.Handler, intercept, info)
			streams[i] = stream
			continue
		}
		intercept := s.around("server_stream", desc.ServiceName, stream.StreamName, interceptors)
		info := &grpc.UnaryServerInfo{Server: implementation, FullMethod: "/" + desc.ServiceName + "/" + stream.StreamName}
		stream.Handler = answerInStream(stream.Handler, requestOf(desc.ServiceName, stream.StreamName), intercept, info)
		streams[i] = stream
	}
	desc.Methods, desc.Streams = methods, streams
	g.RegisterService(&desc, implementation)
}

// around is what the calls of a method go through, outermost first: they are counted, their callers are let in or
// not, and then come the others.
func (s *Server) around(kind, service, method string, others []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	authorized := s.authorize("/"+service+"/"+method, kind != "unary", chain(others[0], others[1:]...))
	return chain(s.metrics.count(kind, service, method), authorized)
}

// answerInStream is the handler of a method that answers one request with a stream of
// messages. It goes through the same interceptors as a method with one answer.
func answerInStream(handle grpc.StreamHandler, request protoreflect.MessageType, intercept grpc.UnaryServerInterceptor, info *grpc.UnaryServerInfo) grpc.StreamHandler {
	return func(service any, stream grpc.ServerStream) error {
		d := decoding{request: request.New().Interface()}
		if err := stream.RecvMsg(&d); err != nil {
			return err
		}
		if d.err != nil {
			_, err := intercept(stream.Context(), nil, info, d.explain)
			return err
		}
		_, err := intercept(stream.Context(), d.request, info, func(ctx context.Context, _ any) (any, error) {
			return nil, handle(service, &received{inContext{stream, ctx}, d.request.(proto.Message)})
		})
		return err
	}
}

// converse is the handler of a method with a stream of messages in both directions. It goes
// through the same interceptors, which see no request; each message is checked when it is read.
func (s *Server) converse(handle grpc.StreamHandler, intercept grpc.UnaryServerInterceptor, info *grpc.UnaryServerInfo) grpc.StreamHandler {
	return func(service any, stream grpc.ServerStream) error {
		_, err := intercept(stream.Context(), nil, info, func(ctx context.Context, _ any) (any, error) {
			return nil, handle(service, &conversation{inContext{stream, ctx}, s})
		})
		return err
	}
}

// inContext is a stream in the context that the interceptors have given it. When that has ended, nothing more is
// sent or received.
type inContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s inContext) Context() context.Context { return s.ctx }

// SendMsg sends a message.
func (s inContext) SendMsg(m any) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// RecvMsg receives a message. One that comes when the context has ended is not given to anybody.
func (s inContext) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.ctx.Err()
}

// conversation is a stream of which each message is checked.
type conversation struct {
	inContext
	server *Server
}

// RecvMsg reads a message and applies the rules that are in the proto.
func (c *conversation) RecvMsg(m any) error {
	d := decoding{request: m}
	if err := c.inContext.RecvMsg(&d); err != nil {
		return err
	}
	if d.err != nil {
		_, err := d.explain(c.Context(), nil)
		return err
	}
	return c.server.validator.Validate(m.(proto.Message))
}

// requestOf is the type of the request of a method.
func requestOf(service, method string) protoreflect.MessageType {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		panic(err) // its generated code is linked in
	}
	input := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method)).Input()
	request, err := protoregistry.GlobalTypes.FindMessageByName(input.FullName())
	if err != nil {
		panic(err)
	}
	return request
}

// received is a stream whose request has been received.
type received struct {
	inContext
	request proto.Message
}

// RecvMsg gives the request to the generated handler.
func (r *received) RecvMsg(m any) error {
	proto.Merge(m.(proto.Message), r.request)
	return nil
}

// chain makes one interceptor of several.
func chain(outer grpc.UnaryServerInterceptor, others ...grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if len(others) == 0 {
		return outer
	}
	inner := chain(others[0], others[1:]...) // #nosec G602 -- there is one
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return outer(ctx, request, info, func(ctx context.Context, request any) (any, error) {
			return inner(ctx, request, info, handler)
		})
	}
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

// codec keeps the error of decoding a request: one that it returned, grpc would answer
// with INTERNAL before the method is called.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	d, ok := v.(*decoding)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	d.err = c.CodecV2.Unmarshal(data, d.request)
	return nil
}
