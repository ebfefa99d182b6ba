// What the judge's checks share: reading cluster.json, running checks one after another, printing one JSON line per check.
// A failed check never stops those that do not build on it; the lines on standard output are the result, not the exit code.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cluster holds what clients need of DIR/cluster.json.
type cluster struct {
	Gateway          string `json:"gateway"`
	Username         string `json:"username"`
	PasswordFile     string `json:"passwordFile"`
	SystemID         string `json:"systemId"`
	ProtectionDomain string `json:"protectionDomain"`
	StoragePool      string `json:"storagePool"`
	SdcGUID          string `json:"sdcGuid"`
	password         string
}

func readCluster(dir string) (*cluster, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return nil, err
	}
	found := &cluster{}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(found.PasswordFile)
	if err != nil {
		return nil, err
	}
	found.password = strings.TrimSpace(string(password))
	return found, nil
}

type outcome struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Ms     int64  `json:"ms"`
}

// judge remembers which checks held.
type judge struct {
	held map[string]bool
}

// check runs work unless one of the checks that it needs failed. What work returns beside an error is shown.
func (j *judge) check(name string, needs []string, work func() (string, error)) {
	started := time.Now()
	result := outcome{Check: name}
	var missing []string
	for _, one := range needs {
		if !j.held[one] {
			missing = append(missing, one)
		}
	}
	if len(missing) > 0 {
		result.Detail = "not run, because these failed: " + strings.Join(missing, ", ")
	} else {
		detail, err := guarded(work)
		result.OK, result.Detail = err == nil, detail
		if err != nil {
			result.Detail = err.Error()
		}
		j.held[name] = result.OK
	}
	result.Ms = time.Since(started).Milliseconds()
	line, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// guarded turns a panic of the client into a finding.
func guarded(work func() (string, error)) (detail string, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("the client panicked: %v", thrown)
		}
	}()
	return work()
}

// refused returns nil if err is there and its text contains what is wanted.
func refused(err error, wanted string) error {
	if err == nil {
		return fmt.Errorf("was accepted, though it should be refused with %q", wanted)
	}
	if !strings.Contains(err.Error(), wanted) {
		return fmt.Errorf("refused with %q, which does not contain %q", err.Error(), wanted)
	}
	return nil
}

// firstError returns the first error of several, or nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func expect(holds bool, format string, values ...interface{}) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, values...)
}
