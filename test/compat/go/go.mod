// The goscaleio that Debian 12's own Go builds. What the judge compiles is exactly what go.sum names.
module meshsan/compat

go 1.19

require github.com/dell/goscaleio v1.9.0

require (
	github.com/google/uuid v1.3.0 // indirect
	github.com/sirupsen/logrus v1.8.1 // indirect
	golang.org/x/sys v0.2.0 // indirect
)
