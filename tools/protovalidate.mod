module github.com/usher-pdp/usher/tools/protovalidate

go 1.26

require github.com/bufbuild/protovalidate v1.2.2 // indirect
