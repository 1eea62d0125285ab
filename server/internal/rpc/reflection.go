package rpc

import (
	"fmt"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	healthv1 "github.com/proglog/proglog/sdk/go/gen/health/v1"
)

// registerReflection lets tools list and call every service of the server
// without its .proto files. It comes after all other services.
func registerReflection(server *connect.Server) error {
	files := new(protoregistry.Files)
	grpcreflect.Register(server, grpcreflect.WithDescriptorResolver(resolver{files}))
	for spec := range server.Specs() {
		method, ok := spec.Schema.(protoreflect.MethodDescriptor)
		if !ok {
			return fmt.Errorf("%s has no schema", spec.Procedure)
		}
		file := method.ParentFile()
		if _, err := files.FindFileByPath(file.Path()); err == nil {
			continue
		}
		if err := files.RegisterFile(file); err != nil {
			return fmt.Errorf("the schema of %s: %w", spec.Procedure, err)
		}
	}
	return nil
}

// resolver finds descriptors in the schemas of the services, some of which are
// linked into the binary under another name, and then among those linked.
type resolver struct{ services *protoregistry.Files }

// FindFileByPath implements protodesc.Resolver.
func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file, err := r.services.FindFileByPath(path); err == nil {
		return file, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements protodesc.Resolver.
func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.services.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// healthSchema is the schema of gRPC's health protocol.
type healthSchema struct{ file protoreflect.FileDescriptor }

// newHealthSchema makes it from our own messages, which are the same under
// another name (see proto/health/v1/health.proto).
func newHealthSchema() (healthSchema, error) {
	ours := protodesc.ToFileDescriptorProto(healthv1.File_health_v1_health_proto)
	const pkg = ".grpc.health.v1."
	for _, m := range ours.GetMessageType() {
		for _, f := range m.GetField() {
			if name, ok := strings.CutPrefix(f.GetTypeName(), ".health.v1."); ok {
				f.TypeName = proto.String(pkg + name)
			}
		}
	}
	ours.Name = proto.String("grpc/health/v1/health.proto")
	ours.Package = proto.String("grpc.health.v1")
	ours.Options = nil
	method := func(name string, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name:            proto.String(name),
			InputType:       proto.String(pkg + "HealthCheckRequest"),
			OutputType:      proto.String(pkg + "HealthCheckResponse"),
			ServerStreaming: proto.Bool(stream),
		}
	}
	ours.Service = []*descriptorpb.ServiceDescriptorProto{{
		Name:   proto.String("Health"),
		Method: []*descriptorpb.MethodDescriptorProto{method("Check", false), method("Watch", true)},
	}}
	file, err := protodesc.NewFile(ours, nil)
	if err != nil {
		return healthSchema{}, fmt.Errorf("the schema of %s: %w", healthService, err)
	}
	return healthSchema{file}, nil
}

func (s healthSchema) method(name protoreflect.Name) protoreflect.MethodDescriptor {
	return s.file.Services().ByName("Health").Methods().ByName(name)
}
