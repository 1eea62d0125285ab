module github.com/proglog/proglog/server/bench

go 1.26.8

require (
	github.com/proglog/proglog/server v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

// What is measured is always what is beside this module. The bench is never
// released, so that what its peers need reaches nobody.
replace (
	github.com/proglog/proglog/sdk/go => ../../sdk/go
	github.com/proglog/proglog/server => ..
)
