module github.com/proglog/proglog/server

// 1.26.8: earlier releases either let silent connections live for ever or cut
// healthy plaintext HTTP/2 streams (golang/go#80205, golang/go#80876).
go 1.26.8

require (
	connectrpc.com/connect/v2 v2.0.2
	connectrpc.com/grpcreflect/v2 v2.0.0
	github.com/proglog/proglog/sdk/go v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

// In this repository the SDK beside it is used. A tagged release of the server
// carries a released SDK instead: see RELEASING.md.
replace github.com/proglog/proglog/sdk/go => ../sdk/go
