module github.com/proglog/proglog/sdk/go

go 1.26.0

require (
	connectrpc.com/connect/v2 v2.0.2
	github.com/stretchr/testify v1.12.1
	google.golang.org/protobuf v1.36.12
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
