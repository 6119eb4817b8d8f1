package vehicle

// What the verbs do, for the help of each program.
const (
	InitHelp = `Without --id: makes the vehicle's signing key in --state, if there is none, and
prints the public key, which the authority enrolls ("veilsum fleet enroll KEY").
With --id: writes the pseudonym that the authority answered, a device secret that
hedges the vehicle's randomness, and the vehicle's own floor: a task with a
smaller min_batch_size or noise_multiplier is refused, and one of statistics that
asks for another local value than --fields names.`

	SealHelp = `Clips, encodes and seals the update of this epoch into one report, writes it
to the outbox of --state, and uploads it. From then on the vehicle's
participation is counted. An interrupted upload goes on with "upload".
The update's format follows from its name:
  .f32 .raw .bin   raw little-endian float32, all tensors in the task's order
  .npy             one NumPy array: the only tensor, or all values flat
  .safetensors     the task's tensors by their names
  a folder         NAME.npy for each tensor
  -                raw float32 on standard input
A task of statistics takes --values instead: the vehicle's local records, JSON
objects in an array or one a line (.json, .jsonl, - for standard input), from
which the vector that the task's queries ask for is made here. Records with
"probabilities" are read as a model's predictions.
Exit status 3: the report came too late for the round's list, as far as the store shows it.`

	UploadHelp = `Sends what the store lacks of each report in the outbox, the header last, and
says what became of it. It may be interrupted at any point. Nothing is sent to a
round whose list is frozen or that has ended: the report is then removed, and
the exit status is 3. A gateway does not show the list: through it a report that
is late is sent all the same, and not summed. The clock of this machine decides nothing.`

	ModelHelp = `Brings the file --model to the newest release of the task's model. Before it is
written this verifies who signed the release, that it continues, release by release,
what this vehicle accepted before, the receipts of the rounds that it was made from,
and every byte; a delta from the model in the file is read in place of the whole
model where there is one. A release that goes back, a second one of the same serial
number, and a chain that leaves the vehicle's are refused (exit status 5), also in
later calls. With --epoch the release that the round announces, or a later one, is
required: so a store cannot withhold it. A gateway asks for --epoch. Exit status 75:
the task has no release yet.`

	StatusHelp = `Prints the vehicle's pseudonym and floor, the reports in its outbox and how
often it took part. With --store and --task also the next epoch in which it may
report, and what became of its last report. Without a link it prints what the
disk tells, and ends with 75.`
)
