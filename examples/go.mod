module github.com/proglog/proglog/examples

go 1.26.8

require (
	github.com/proglog/proglog/sdk/conformance v0.0.0
	github.com/proglog/proglog/sdk/go v0.0.0
	github.com/stretchr/testify v1.12.1
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	connectrpc.com/connect/v2 v2.0.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
)

// What the examples use is beside them. A program of your own has no such lines:
// go get github.com/proglog/proglog/sdk/go
replace (
	github.com/proglog/proglog/sdk/conformance => ../sdk/conformance
	github.com/proglog/proglog/sdk/go => ../sdk/go
)

tool (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
)
