package schema

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
)

// Enrolled is one vehicle of a snapshot.
type Enrolled struct {
	ID  VehicleID
	Key PublicKey
}

// Snapshot is the list of vehicles that may report, signed by the enrollment
// authority. A vehicle that was revoked is absent. It is immutable and safe for
// concurrent use; the vehicles are sorted by ID, 48 bytes each.
type Snapshot struct {
	// Scope is the BudgetScope in which the pseudonyms were assigned.
	Scope ScopeID
	// Serial grows with every snapshot of a scope; decryptors refuse one below the highest they accepted.
	Serial    uint64
	vehicles  []Enrolled
	signature Signature
	raw       []byte
}

// MaxVehicles bounds the vehicles of one snapshot: 2^24.
const MaxVehicles = 1 << 24

const (
	snapshotMagic  = "VSSN"
	snapshotHead   = 4 + 2 + 2 + 32 + 8 + 4
	enrolledBytes  = 16 + ed25519.PublicKeySize
	snapshotsLabel = "snapshot"
)

// NewSnapshot sorts and signs a list of vehicles. IDs must be distinct, and so must keys.
func NewSnapshot(scope ScopeID, serial uint64, vehicles []Enrolled, key ed25519.PrivateKey) (*Snapshot, error) {
	if len(vehicles) > MaxVehicles {
		return nil, field("snapshot", "vehicles", len(vehicles), "at most 2^24")
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	v := slices.Clone(vehicles)
	slices.SortFunc(v, func(a, b Enrolled) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	raw := []byte(snapshotMagic)
	raw = binary.LittleEndian.AppendUint16(raw, Version)
	raw = append(raw, 0, 0)
	raw = append(raw, scope.Digest[:]...)
	raw = binary.LittleEndian.AppendUint64(raw, serial)
	raw = binary.LittleEndian.AppendUint32(raw, uint32(len(v)))
	for _, e := range v {
		raw = append(append(raw, e.ID[:]...), e.Key[:]...)
	}
	sig := Sign(key, snapshotsLabel, raw)
	return DecodeSnapshot(append(raw, sig[:]...))
}

// DecodeSnapshot reads a snapshot, which keeps referring to data: the caller must
// not change it. The signature is not checked: see [Snapshot.Verify].
func DecodeSnapshot(data []byte) (*Snapshot, error) {
	if len(data) < snapshotHead+ed25519.SignatureSize || string(data[:4]) != snapshotMagic {
		return nil, fmt.Errorf("%w: not an enrollment snapshot", ErrFormat)
	}
	if v := binary.LittleEndian.Uint16(data[4:]); v != Version {
		return nil, fmt.Errorf("%w: snapshot.version %d", ErrVersion, v)
	}
	// The count is compared as read: as an int it might be negative.
	count := binary.LittleEndian.Uint32(data[48:])
	if count > MaxVehicles || len(data) != snapshotHead+int(count)*enrolledBytes+ed25519.SignatureSize || data[6] != 0 || data[7] != 0 {
		return nil, fmt.Errorf("%w: snapshot of %d vehicles in %d bytes", ErrFormat, count, len(data))
	}
	n := int(count)
	s := &Snapshot{Serial: binary.LittleEndian.Uint64(data[40:]), vehicles: make([]Enrolled, n)}
	s.raw = data[: len(data)-ed25519.SignatureSize : len(data)-ed25519.SignatureSize]
	s.signature = Signature(data[len(s.raw):])
	copy(s.Scope.Digest[:], data[8:])
	if err := s.readVehicles(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) readVehicles() error {
	keys := make(map[PublicKey]struct{}, len(s.vehicles)+1)
	keys[PublicKey{}] = struct{}{} // "absent", and a point for which anybody can sign
	for i := range s.vehicles {
		r := s.raw[snapshotHead+i*enrolledBytes:]
		e := Enrolled{ID: VehicleID(r[:16]), Key: PublicKey(r[16:enrolledBytes])}
		if i > 0 && bytes.Compare(s.vehicles[i-1].ID[:], e.ID[:]) >= 0 {
			return fmt.Errorf("%w: snapshot: vehicle %d repeated or out of order: want sorted, distinct identifiers", ErrFormat, i)
		}
		if _, ok := keys[e.Key]; ok {
			return fmt.Errorf("%w: snapshot: vehicle %d has no key of its own: want distinct keys that are not zero", ErrFormat, i)
		}
		keys[e.Key], s.vehicles[i] = struct{}{}, e
	}
	return nil
}

// Bytes returns the encoded snapshot.
func (s *Snapshot) Bytes() []byte { return append(slices.Clone(s.raw), s.signature[:]...) }

// Root returns H("snapshot"; bytes without the signature), the name a descriptor refers to.
func (s *Snapshot) Root() Digest { return Hash(snapshotsLabel, s.raw) }

// Verify checks the authority's signature.
func (s *Snapshot) Verify(key PublicKey) error {
	return Verify(key, s.signature, snapshotsLabel, s.raw)
}

// Key returns the signing key of an enrolled vehicle.
func (s *Snapshot) Key(id VehicleID) (PublicKey, bool) {
	i, ok := slices.BinarySearchFunc(s.vehicles, id, func(e Enrolled, id VehicleID) int { return bytes.Compare(e.ID[:], id[:]) })
	if !ok {
		return PublicKey{}, false
	}
	return s.vehicles[i].Key, true
}

// Vehicles returns the enrolled vehicles, sorted by ID. The caller must not change them.
func (s *Snapshot) Vehicles() []Enrolled { return s.vehicles }

// LaneOf returns the lane of a vehicle: the first 8 bytes of H("lane"; TaskID,
// u64 epoch, vehicle id), little-endian, mod lanes. All roles check it. A task has at least one
// lane; fewer give lane 0.
func LaneOf(task TaskID, epoch uint64, vehicle VehicleID, lanes int) uint32 {
	if lanes < 1 {
		return 0
	}
	var e [8]byte
	binary.LittleEndian.PutUint64(e[:], epoch)
	h := Hash("lane", task.Digest[:], e[:], vehicle[:])
	return uint32(binary.LittleEndian.Uint64(h[:8]) % uint64(lanes))
}
