// Judge: goscaleio, the Go client below Kubernetes' drivers and Terraform's provider, unmodified. Its certificate check is
// on: SSL_CERT_FILE names the cluster's CA.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/dell/goscaleio"
)

const gibInKb = 1024 * 1024

// state is what earlier checks found.
type state struct {
	cluster *cluster
	client  *goscaleio.Client
	system  *goscaleio.System
	domain  *goscaleio.ProtectionDomain
	pool    *goscaleio.StoragePool
	sdc     *goscaleio.Sdc
	volume  *goscaleio.Volume
	prefix  string
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: judge CLUSTER_DIR")
		os.Exit(2)
	}
	found, err := readCluster(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	j := &judge{held: map[string]bool{}}
	s := &state{cluster: found, prefix: fmt.Sprintf("go-%08x", uint32(time.Now().UnixNano()))}
	j.check("its sources are as published", nil, s.sources)
	j.check("a wrong password is refused", nil, s.wrongPassword)
	j.check("login and version", nil, s.login)
	login := []string{"login and version"}
	j.check("a forged token leads to one new login, then an answer", login, s.forgedToken)
	j.check("system, its links and statistics", login, s.findSystem)
	system := []string{"system, its links and statistics"}
	j.check("protection domain, over the system's links", system, s.findDomain)
	domain := []string{"protection domain, over the system's links"}
	j.check("storage pool and its statistics", domain, s.findPool)
	j.check("every SDS and device is in its normal state", append(domain, "storage pool and its statistics"), s.servers)
	j.check("SDC by GUID, and its statistics", system, s.findSdc)
	s.volumeChecks(j)
	s.newestChecks(j)
}

func (s *state) volumeChecks(j *judge) {
	pool := []string{"storage pool and its statistics"}
	j.check("create: 1 GiB becomes 8", pool, s.create)
	made := []string{"create: 1 GiB becomes 8"}
	j.check("list: by id, among all, in the pool", made, s.list)
	j.check("create: a name in use, size 0, a name over 31 characters are refused", made, s.badCreates)
	j.check("an unknown name is `Could not find the volume`", login(), s.unknownName)
	j.check("VTree and statistics of a volume", made, s.volumeStatistics)
	j.check("extend: 8 to 16; smaller and odd sizes are refused", made, s.extend)
	j.check("rename", made, s.rename)
	both := append([]string{"SDC by GUID, and its statistics"}, made...)
	j.check("map, seen on the volume and on the SDC; again is refused", both, s.mapVolume)
	mapped := []string{"map, seen on the volume and on the SDC; again is refused"}
	j.check("limits: set and lifted", mapped, s.limits)
	j.check("a mapped volume refuses removal", mapped, s.removeMapped)
	j.check("unmap; again is refused", mapped, s.unmap)
	j.check("snapshots: below their source, of one group, of snapshots; refusals; removal", made, s.snapshot)
	j.check("the 127th snapshot of a V-tree is refused; the V-tree is removed as a whole", pool, s.snapshotLimit)
	j.check("remove; then it is not found", made, s.remove)
}

func login() []string { return []string{"login and version"} }

func (s *state) sources() (string, error) {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "", fmt.Errorf("the judge has no build information")
	}
	for _, module := range build.Deps {
		if module.Path == "github.com/dell/goscaleio" {
			return module.Version + " " + module.Sum, expect(module.Sum != "" && module.Replace == nil, "not pinned")
		}
	}
	return "", fmt.Errorf("goscaleio is not part of the judge")
}

// connect makes a client that checks certificates, and logs in; the client writes the version that it read into config.
func (s *state) connect(password string) (*goscaleio.Client, *goscaleio.ConfigConnect, error) {
	client, err := newClient(s.cluster.Gateway + "/api")
	if err != nil {
		return nil, nil, err
	}
	config := &goscaleio.ConfigConnect{Username: s.cluster.Username, Password: password}
	_, err = client.Authenticate(config)
	return client, config, err
}

func (s *state) wrongPassword() (string, error) {
	_, _, err := s.connect("not " + s.cluster.password)
	return "", refused(err, "Unauthorized")
}

func (s *state) login() (string, error) {
	client, config, err := s.connect(s.cluster.password)
	if err != nil {
		return "", err
	}
	s.client = client
	return config.Version, expect(config.Version != "", "no version")
}

func (s *state) forgedToken() (string, error) {
	other, _, err := s.connect(s.cluster.password)
	if err != nil {
		return "", err
	}
	other.SetToken("Zm9yZ2VkOnRva2Vu")
	systems, err := other.GetInstance("")
	return "", firstError(err, expect(len(systems) == 1, "%d systems", len(systems)),
		expect(other.GetToken() != "Zm9yZ2VkOnRva2Vu", "the forged token is still in use"))
}

func (s *state) findSystem() (string, error) {
	system, err := s.client.FindSystem(s.cluster.SystemID, "", "")
	if err != nil {
		return "", err
	}
	s.system = system
	statistics, err := system.GetStatistics()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d KiB", statistics.MaxCapacityInKb), firstError(
		expect(statistics.NumOfSds == 3, "%d SDSs", statistics.NumOfSds),
		expect(statistics.NumOfStoragePools >= 1, "no pool"),
		expect(statistics.MaxCapacityInKb > 0, "no capacity"))
}

func (s *state) findDomain() (string, error) {
	domain, err := s.system.FindProtectionDomain("", s.cluster.ProtectionDomain, "")
	if err != nil {
		return "", err
	}
	s.domain = goscaleio.NewProtectionDomainEx(s.client, domain)
	return "", expect(domain.SystemID == s.cluster.SystemID, "system %s", domain.SystemID)
}

func (s *state) findPool() (string, error) {
	pool, err := s.domain.FindStoragePool("", s.cluster.StoragePool, "")
	if err != nil {
		return "", err
	}
	s.pool = goscaleio.NewStoragePoolEx(s.client, pool)
	again, err := s.client.FindStoragePool(pool.ID, "", "", "")
	if err != nil {
		return "", err
	}
	statistics, err := s.pool.GetStatistics()
	if err != nil {
		return "", err
	}
	return "", firstError(
		expect(again.Name == s.cluster.StoragePool, "by id it is %s", again.Name),
		expect(pool.ProtectionDomainID == s.domain.ProtectionDomain.ID, "in domain %s", pool.ProtectionDomainID),
		expect(statistics.MaxCapacityInKb > 0, "no capacity"),
		expect(statistics.CapacityAvailableForVolumeAllocationInKb > 0, "nothing to allocate"))
}

func (s *state) servers() (string, error) {
	servers, err := s.domain.GetSds()
	if err != nil {
		return "", err
	}
	for _, sds := range servers {
		if sds.SdsState != "Normal" || sds.MdmConnectionState != "Connected" || len(sds.IPList) == 0 {
			return "", fmt.Errorf("SDS %s: %s, %s, %d addresses", sds.Name, sds.SdsState, sds.MdmConnectionState, len(sds.IPList))
		}
	}
	devices, err := s.pool.GetDevice()
	if err != nil {
		return "", err
	}
	for _, device := range devices {
		if device.DeviceState != "Normal" || device.ErrorState != "None" {
			return "", fmt.Errorf("device %s: %s, %s", device.ID, device.DeviceState, device.ErrorState)
		}
	}
	return "", expect(len(servers) == 3 && len(devices) >= 3, "%d SDSs, %d devices", len(servers), len(devices))
}

func (s *state) findSdc() (string, error) {
	sdc, err := s.system.FindSdc("SdcGUID", s.cluster.SdcGUID)
	if err != nil {
		return "", err
	}
	s.sdc = sdc
	statistics, err := sdc.GetStatistics()
	return "", firstError(err, expect(statistics != nil, "no statistics"),
		expect(sdc.Sdc.SdcApproved && sdc.Sdc.MdmConnectionState == "Connected", "%+v", sdc.Sdc))
}
