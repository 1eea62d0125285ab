module github.com/proglog/proglog/server/torture

go 1.26.8

require (
	connectrpc.com/connect/v2 v2.0.2
	github.com/anishathalye/porcupine v1.3.1
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/proglog/proglog/sdk/go v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
	google.golang.org/protobuf v1.36.12
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

// What is driven is always what is beside this module. It is never released, so
// that what it needs reaches nobody.
replace github.com/proglog/proglog/sdk/go => ../../sdk/go
