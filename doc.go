// Package veilsum holds no code: it is the front page of a module that sums model
// updates of a vehicle fleet so that nobody, not even the operator, sees the update
// of one vehicle, and so that what is published is differentially private.
//
// The front door is package pipeline, which plays a round role by role. Below it
// stand four pillars that know nothing of each other and can be used alone:
//
//   - privacy clips and encodes an update and states the guarantee;
//     privacy/accountant adds guarantees up;
//   - secagg seals one message per vehicle, adds ciphertexts and opens one noisy sum;
//   - schema holds the objects that the roles exchange, and reads and writes
//     Arrow IPC in schema/arrowipc;
//   - storage is the write-once object store between the roles, with the drivers
//     storage/dir, storage/s3 and storage/mem.
//
// The program veilsum in cmd/veilsum is all of it on the command line. The rules
// that keep the packages apart are proved by house_test.go beside this file and
// explained in CONTRIBUTING.md.
package veilsum
