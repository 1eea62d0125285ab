module github.com/proglog/proglog/examples

go 1.26.8

require (
	github.com/proglog/proglog/sdk/conformance v0.0.0
	github.com/proglog/proglog/sdk/go v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	connectrpc.com/connect/v2 v2.0.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

// What the examples use is beside them. A program of your own has no such lines:
// go get github.com/proglog/proglog/sdk/go
replace (
	github.com/proglog/proglog/sdk/conformance => ../sdk/conformance
	github.com/proglog/proglog/sdk/go => ../sdk/go
)
