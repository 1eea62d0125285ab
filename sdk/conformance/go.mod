module github.com/proglog/proglog/sdk/conformance

go 1.26.8
