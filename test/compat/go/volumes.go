// The life of a volume as goscaleio drives it: create, find, extend, rename, map, limit, unmap, snapshot, remove.
package main

import (
	"fmt"
	"strings"

	"github.com/dell/goscaleio"
	types "github.com/dell/goscaleio/types/v1"
)

func (s *state) create() (string, error) {
	made, err := s.pool.CreateVolume(&types.VolumeParam{
		Name: s.prefix + "-a", VolumeSizeInKb: fmt.Sprint(gibInKb), VolumeType: "ThinProvisioned",
	})
	if err != nil {
		return "", err
	}
	s.volume = goscaleio.NewVolume(s.client)
	s.volume.Volume.ID = made.ID
	if err := s.refresh(); err != nil {
		return "", err
	}
	found := s.volume.Volume
	return found.ID, firstError(
		expect(found.Name == s.prefix+"-a", "named %s", found.Name),
		expect(found.SizeInKb == 8*gibInKb, "%d KiB", found.SizeInKb),
		expect(found.VolumeType == "ThinProvisioned", "type %s", found.VolumeType),
		expect(found.StoragePoolID == s.pool.StoragePool.ID, "in pool %s", found.StoragePoolID),
		expect(found.AncestorVolumeID == "" && len(found.MappedSdcInfo) == 0, "%+v", found))
}

// refresh reads the volume again; this client's objects never do it themselves.
func (s *state) refresh() error {
	found, err := s.client.GetVolume("", s.volume.Volume.ID, "", "", false)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d volumes of one id", len(found))
	}
	known := goscaleio.NewVolume(s.client)
	known.Volume = found[0]
	s.volume = known
	return nil
}

func (s *state) list() (string, error) {
	id, err := s.client.FindVolumeID(s.prefix + "-a")
	if err != nil {
		return "", err
	}
	all, err := s.client.GetVolume("", "", "", "", false)
	if err != nil {
		return "", err
	}
	pooled, err := s.pool.GetVolume("", "", "", "", false)
	if err != nil {
		return "", err
	}
	wanted := s.volume.Volume.ID
	return "", firstError(expect(id == wanted, "by name it is %s", id),
		expect(contains(all, wanted), "not among all"), expect(contains(pooled, wanted), "not in its pool"))
}

func contains(volumes []*types.Volume, id string) bool {
	for _, volume := range volumes {
		if volume.ID == id {
			return true
		}
	}
	return false
}

func (s *state) badCreates() (string, error) {
	before, err := s.client.GetVolume("", "", "", "", false)
	if err != nil {
		return "", err
	}
	attempt := func(name string, sizeInKb int) error {
		_, err := s.pool.CreateVolume(&types.VolumeParam{Name: name, VolumeSizeInKb: fmt.Sprint(sizeInKb), VolumeType: "ThinProvisioned"})
		return err
	}
	failed := firstError(
		refused(attempt(s.prefix+"-a", 8*gibInKb), "Volume name already in use. Please use a different name."),
		refused(attempt(s.prefix+"-b", 0), "size"),
		refused(attempt(strings.Repeat("n", 32), 8*gibInKb), "31"))
	if failed != nil {
		return "", failed
	}
	after, err := s.client.GetVolume("", "", "", "", false)
	return "", firstError(err, expect(len(after) == len(before), "a refused request left a volume behind"))
}

func (s *state) unknownName() (string, error) {
	_, err := s.client.GetVolume("", "", "", "no-such-volume", false)
	if failed := refused(err, "Could not find the volume"); failed != nil {
		return "", failed
	}
	_, err = s.client.GetVolume("", "not-an-id", "", "", false)
	return "", refused(err, "must be a hexadecimal number")
}

func (s *state) volumeStatistics() (string, error) {
	tree, err := s.volume.GetVTree()
	if err != nil {
		return "", err
	}
	statistics, err := s.volume.GetVolumeStatistics()
	return "", firstError(err, expect(tree.BaseVolumeID == s.volume.Volume.ID, "%+v", tree),
		expect(statistics != nil && statistics.NumOfMappedSdcs == 0, "%+v", statistics))
}

func (s *state) extend() (string, error) {
	if err := s.volume.SetVolumeSize("16"); err != nil {
		return "", err
	}
	failed := firstError(
		refused(s.volume.SetVolumeSize("8"), "Volume capacity can only be increased"),
		refused(s.volume.SetVolumeSize("17"), "8 GB"))
	if failed != nil {
		return "", failed
	}
	return "", firstError(s.refresh(), expect(s.volume.Volume.SizeInKb == 16*gibInKb, "%d KiB", s.volume.Volume.SizeInKb))
}

func (s *state) rename() (string, error) {
	if err := s.volume.SetVolumeName(s.prefix + "-renamed"); err != nil {
		return "", err
	}
	id, err := s.client.FindVolumeID(s.prefix + "-renamed")
	if err != nil {
		return "", err
	}
	return "", firstError(expect(id == s.volume.Volume.ID, "by its new name it is %s", id), s.volume.SetVolumeName(s.prefix+"-a"))
}

func (s *state) mapVolume() (string, error) {
	param := &types.MapVolumeSdcParam{SdcID: s.sdc.Sdc.ID, AllowMultipleMappings: "FALSE"}
	if err := s.volume.MapVolumeSdc(param); err != nil {
		return "", err
	}
	if err := refused(s.volume.MapVolumeSdc(param), "The volume is already mapped to this SDC"); err != nil {
		return "", err
	}
	if err := s.refresh(); err != nil {
		return "", err
	}
	mapped := s.volume.Volume.MappedSdcInfo
	if err := expect(len(mapped) == 1 && mapped[0].SdcID == s.sdc.Sdc.ID, "mapped to %+v", mapped); err != nil {
		return "", err
	}
	volumes, err := s.sdc.GetVolume()
	return "", firstError(err, expect(contains(volumes, s.volume.Volume.ID), "not among the SDC's volumes"))
}

func (s *state) limits() (string, error) {
	set := func(iops, kbps string, wantedIops, wantedMbps int) error {
		param := &types.SetMappedSdcLimitsParam{SdcID: s.sdc.Sdc.ID, IopsLimit: iops, BandwidthLimitInKbps: kbps}
		if err := s.volume.SetMappedSdcLimits(param); err != nil {
			return err
		}
		if err := s.refresh(); err != nil {
			return err
		}
		now := s.volume.Volume.MappedSdcInfo[0]
		return expect(now.LimitIops == wantedIops && now.LimitBwInMbps == wantedMbps, "%+v", now)
	}
	return "", firstError(set("500", "20480", 500, 20), set("", "0", 500, 0), set("0", "", 0, 0))
}

func (s *state) removeMapped() (string, error) {
	return "", refused(s.volume.RemoveVolume("ONLY_ME"), "mapped")
}

func (s *state) unmap() (string, error) {
	param := &types.UnmapVolumeSdcParam{SdcID: s.sdc.Sdc.ID}
	if err := s.volume.UnmapVolumeSdc(param); err != nil {
		return "", err
	}
	if err := refused(s.volume.UnmapVolumeSdc(param), "The volume is not mapped to SDC"); err != nil {
		return "", err
	}
	if err := s.refresh(); err != nil {
		return "", err
	}
	return "", expect(len(s.volume.Volume.MappedSdcInfo) == 0, "still mapped")
}

// read is a volume as it is now.
func (s *state) read(id string) (*types.Volume, error) {
	found, err := s.client.GetVolume("", id, "", "", false)
	if err != nil {
		return nil, err
	}
	return found[0], expect(len(found) == 1, "%d volumes of one id", len(found))
}

func (s *state) takeSnapshot(source string, name string) (*types.SnapshotVolumesResp, error) {
	return s.system.CreateSnapshotConsistencyGroup(&types.SnapshotVolumesParam{
		SnapshotDefs: []*types.SnapshotDef{{VolumeID: source, SnapshotName: name}},
	})
}

func (s *state) snapshot() (string, error) {
	base := s.volume.Volume
	made, err := s.takeSnapshot(base.ID, s.prefix+"-s")
	if err != nil {
		return "", err
	}
	if err := expect(len(made.VolumeIDList) == 1 && made.SnapshotGroupID != "", "%+v", made); err != nil {
		return "", err
	}
	taken, err := s.read(made.VolumeIDList[0])
	if err != nil {
		return "", err
	}
	failed := firstError(
		expect(taken.Name == s.prefix+"-s" && taken.VolumeType == "Snapshot", "%+v", taken),
		expect(taken.AncestorVolumeID == base.ID && taken.VTreeID == base.VTreeID, "%+v", taken),
		expect(taken.ConsistencyGroupID == made.SnapshotGroupID && taken.SizeInKb == base.SizeInKb, "%+v", taken))
	if failed != nil {
		return "", failed
	}
	below, err := s.takeSnapshot(taken.ID, "")
	if err != nil {
		return "", err
	}
	listed, err := s.client.GetVolume("", base.ID, base.ID, "", true)
	if err != nil {
		return "", err
	}
	_, again := s.takeSnapshot(base.ID, s.prefix+"-s")
	_, unknown := s.takeSnapshot("ffffffffffffffff", "")
	object := goscaleio.NewVolume(s.client)
	object.Volume = taken
	if err := firstError(
		refused(again, "Volume name already in use. Please use a different name."),
		refused(unknown, "Could not find the volume"),
		object.RemoveVolume("ONLY_ME")); err != nil {
		return "", err
	}
	rest, err := s.read(below.VolumeIDList[0])
	if err != nil {
		return "", err
	}
	object.Volume = rest
	return fmt.Sprintf("%d listed", len(listed)), firstError(
		expect(rest.AncestorVolumeID == base.ID, "%+v", rest), object.RemoveVolume("INCLUDING_DESCENDANTS"))
}

// snapshotLimit takes as many snapshots as a V-tree may have, and one more.
func (s *state) snapshotLimit() (string, error) {
	made, err := s.pool.CreateVolume(&types.VolumeParam{
		Name: s.prefix + "-t", VolumeSizeInKb: fmt.Sprint(8 * gibInKb), VolumeType: "ThinProvisioned",
	})
	if err != nil {
		return "", err
	}
	base, err := s.read(made.ID)
	if err != nil {
		return "", err
	}
	object := goscaleio.NewVolume(s.client)
	object.Volume = base
	for taken := 0; taken < 126; taken++ {
		if _, err := s.takeSnapshot(made.ID, ""); err != nil {
			return "", fmt.Errorf("snapshot %d: %w", taken+1, err)
		}
	}
	_, err = s.takeSnapshot(made.ID, "")
	return "", firstError(refused(err, "too many snapshots"), object.RemoveVolume("WHOLE_VTREE"))
}

func (s *state) remove() (string, error) {
	if err := s.volume.RemoveVolume("ONLY_ME"); err != nil {
		return "", err
	}
	_, err := s.client.GetVolume("", s.volume.Volume.ID, "", "", false)
	return "", firstError(refused(err, "Could not find the volume"),
		refused(s.volume.RemoveVolume("ONLY_ME"), "Could not find the volume"))
}
