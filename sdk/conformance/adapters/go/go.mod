module github.com/proglog/proglog/sdk/conformance/adapters/go

go 1.26.8

require github.com/proglog/proglog/sdk/go v0.0.0

require (
	connectrpc.com/connect/v2 v2.0.2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

// The adapter drives the SDK beside it.
replace github.com/proglog/proglog/sdk/go => ../../../go
