// The newest goscaleio, for a Go that can build it (go build -modfile newest.mod -tags newest).
module meshsan/compat

go 1.24

require github.com/dell/goscaleio v1.20.0

require (
	github.com/google/uuid v1.6.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
