//go:build newest

// What only the newest goscaleio has: limits, VTrees, the MDM cluster, making and removing domains and pools, names of SDCs.
package main

import (
	"fmt"

	"github.com/dell/goscaleio"
	types "github.com/dell/goscaleio/types/v1"
)

const timeoutSeconds = 60

// newClient makes a client that trusts what the system trusts.
func newClient(endpoint string) (*goscaleio.Client, error) {
	return goscaleio.NewClientWithArgs(endpoint, "", timeoutSeconds, false, true)
}

func (s *state) newestChecks(j *judge) {
	system := []string{"system, its links and statistics"}
	domain := []string{"protection domain, over the system's links"}
	j.check("system limits, and the largest volume", system, s.systemLimits)
	j.check("MDM cluster", system, s.mdmCluster)
	j.check("all devices, SDSs and pools of the system", domain, s.everything)
	j.check("SDC: by address, renamed and back", []string{"SDC by GUID, and its statistics"}, s.renameSdc)
	j.check("a protection domain and a pool: made, changed, removed", system, s.domainLife)
	j.check("VTrees of all volumes", []string{"create: 1 GiB becomes 8"}, s.vtrees)
	j.check("a snapshot policy: made, found, changed, paused, given a volume, removed; refusals", domain, s.snapshotPolicy)
}

func (s *state) systemLimits() (string, error) {
	limits, err := s.client.GetSystemLimits()
	if err != nil {
		return "", err
	}
	largest, err := s.client.GetMaxVol()
	return largest + " GB", firstError(err, expect(len(limits.SystemLimitEntryList) > 5 && largest != "", "%d limits, largest volume %q", len(limits.SystemLimitEntryList), largest))
}

func (s *state) mdmCluster() (string, error) {
	found, err := s.system.GetMDMClusterDetails()
	if err != nil {
		return "", err
	}
	return found.ClusterMode, firstError(expect(found.ClusterMode == "OneNode", "mode %s", found.ClusterMode),
		expect(found.PrimaryMDM.ID != "", "no primary"))
}

func (s *state) everything() (string, error) {
	devices, err := s.system.GetAllDevice()
	if err != nil {
		return "", err
	}
	servers, err := s.system.GetAllSds()
	if err != nil {
		return "", err
	}
	pools, err := s.system.GetAllStoragePools()
	if err != nil {
		return "", err
	}
	one, err := s.system.FindProtectionDomainByName(s.cluster.ProtectionDomain)
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%d devices, %d SDSs, %d pools", len(devices), len(servers), len(pools))
	return detail, firstError(expect(len(devices) >= 3 && len(servers) == 3 && len(pools) >= 1, "%s", detail),
		expect(one.ID == s.domain.ProtectionDomain.ID, "by name it is %s", one.ID))
}

func (s *state) renameSdc() (string, error) {
	id, err := s.system.GetSdcIDByIP(s.sdc.Sdc.SdcIP)
	if err != nil {
		return "", err
	}
	if err := expect(id == s.sdc.Sdc.ID, "by address it is %s", id); err != nil {
		return "", err
	}
	before := s.sdc.Sdc.Name
	if err := s.client.RenameSdc(id, s.prefix+"-sdc"); err != nil {
		return "", err
	}
	renamed, err := s.system.GetSdcByID(id)
	if err != nil {
		return "", err
	}
	if err := expect(renamed.Sdc.Name == s.prefix+"-sdc", "named %s", renamed.Sdc.Name); err != nil {
		return "", err
	}
	if before == "" {
		return "", nil
	}
	return "", s.client.RenameSdc(id, before)
}

func (s *state) domainLife() (string, error) {
	id, err := s.system.CreateProtectionDomain(s.prefix + "-d")
	if err != nil {
		return "", err
	}
	domain, err := s.system.GetProtectionDomainEx(id)
	if err != nil {
		return "", err
	}
	pool, err := domain.CreateStoragePool(&types.StoragePoolParam{Name: s.prefix + "-p", MediaType: "HDD"})
	if err != nil {
		return "", err
	}
	_, renamed := domain.ModifyStoragePoolName(pool, s.prefix+"-q")
	_, media := domain.ModifyStoragePoolMedia(pool, "SSD")
	return "", firstError(renamed, media,
		refused(domain.Delete(), "Storage Pools"),
		domain.DeleteStoragePool(s.prefix+"-q"),
		domain.SetName(s.prefix+"-e"),
		domain.Delete())
}

func (s *state) vtrees() (string, error) {
	made, err := s.pool.CreateVolume(&types.VolumeParam{Name: s.prefix + "-t", VolumeSizeInKb: fmt.Sprint(8 * gibInKb), VolumeType: "ThinProvisioned"})
	if err != nil {
		return "", err
	}
	all, err := s.client.GetVTrees()
	if err != nil {
		return "", err
	}
	one, err := s.client.GetVTreeByVolumeID(made.ID)
	if err != nil {
		return "", err
	}
	if _, err := s.client.GetVTreeInstances([]string{one.ID}); err != nil {
		return "", err
	}
	volume := goscaleio.NewVolume(s.client)
	found, err := s.client.GetStoragePoolVolumes(s.pool.StoragePool.ID)
	if err != nil {
		return "", err
	}
	for _, candidate := range found {
		if candidate.ID == made.ID {
			volume.Volume = candidate
		}
	}
	return "", firstError(expect(len(all) >= 1 && len(one.RootVolumes) == 1 && one.RootVolumes[0] == made.ID, "%+v", one), volume.RemoveVolume("ONLY_ME"))
}

func (s *state) snapshotPolicy() (string, error) {
	name := s.prefix + "-policy"
	wanted := &types.SnapshotPolicyCreateParam{
		Name: name, AutoSnapshotCreationCadenceInMin: "60", NumOfRetainedSnapshotsPerLevel: []string{"24", "7"},
		SnapshotAccessMode: "ReadOnly", SecureSnapshots: "false", Paused: "false",
	}
	id, err := s.system.CreateSnapshotPolicy(wanted)
	if err != nil {
		return "", err
	}
	_, again := s.system.CreateSnapshotPolicy(wanted)
	byName, err := s.client.FindSnapshotPolicyID(name)
	if err := firstError(err, expect(byName == id, "%s is not %s", byName, id), refused(again, "already exists")); err != nil {
		return "", err
	}
	made, err := s.pool.CreateVolume(&types.VolumeParam{Name: s.prefix + "-p", VolumeSizeInKb: fmt.Sprint(8 * gibInKb), VolumeType: "ThinProvisioned"})
	if err != nil {
		return "", err
	}
	source := &types.AssignVolumeToSnapshotPolicyParam{SourceVolumeID: made.ID, AutoSnapshotRemovalAction: "Remove"}
	if err := firstError(
		s.system.RenameSnapshotPolicy(id, name+"2"),
		s.system.ModifySnapshotPolicy(&types.SnapshotPolicyModifyParam{AutoSnapshotCreationCadenceInMin: "30", NumOfRetainedSnapshotsPerLevel: []string{"2", "6"}}, id),
		s.system.PauseSnapshotPolicy(id),
		s.system.ResumeSnapshotPolicy(id),
		s.system.AssignVolumeToSnapshotPolicy(source, id)); err != nil {
		return "", err
	}
	found, err := s.client.GetSnapshotPolicy("", id)
	if err != nil {
		return "", err
	}
	sources, err := s.system.GetSourceVolume(id)
	if err != nil {
		return "", err
	}
	volume := goscaleio.NewVolume(s.client)
	volume.Volume = sources[0]
	shown := *found[0]
	return shown.SnapshotPolicyState, firstError(
		expect(shown.Name == name+"2" && shown.AutoSnapshotCreationCadenceInMin == 30 && len(shown.NumOfRetainedSnapshotsPerLevel) == 2, "%+v", shown),
		expect(shown.NumOfSourceVolumes == 1 && shown.MaxVTreeAutoSnapshots == 8 && shown.NextAutoSnapshotCreationTime > 0, "%+v", shown),
		expect(len(sources) == 1 && sources[0].ID == made.ID, "%d source volumes", len(sources)),
		refused(s.system.RemoveSnapshotPolicy(id), "has source volumes"),
		refused(volume.RemoveVolume("ONLY_ME"), "source volume of a snapshot policy"),
		s.system.UnassignVolumeFromSnapshotPolicy(source, id),
		refused(s.system.UnassignVolumeFromSnapshotPolicy(source, id), "not a source volume"),
		s.system.RemoveSnapshotPolicy(id),
		volume.RemoveVolume("ONLY_ME"))
}
