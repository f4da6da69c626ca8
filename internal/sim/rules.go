package sim

// Rules names the rules that a history does without. The zero value keeps all.
type Rules map[string]bool

// The rules that can be taken away.
const (
	NoBase         = "base cut"                           // a report's base need not be the committed cut
	NoGeneration   = "generation"                         // nor its generation the group's
	NoSince        = "number above the generation's root" // nor its number above that of the root that raised the generation
	NoAskedUnder   = "generation of a request"            // a group takes a cut that was asked of its former life
	NoCutID        = "identity of a cut"                  // a base is known by its number alone
	NoRun          = "run"                                // reports of an earlier run are taken
	HalfReport     = "whole report"                       // of some reports only a part is taken
	NoTerm         = "term"                               // nor its term, or those of its objects, the root's
	NoFloor        = "floor"                              // cuts, compactions and names below the floor are taken
	GoesOn         = "restart of a refused group"         // who was refused, or taken for dead, goes on where it is
	AnyClaim       = "claims"                             // any holder may go on after a takeover
	NoRowClip      = "rows clipped to the partition"      // a reader takes all rows of the blocks that it reads
	ForgetsRead    = "positions of readers"               // a group that starts has read nothing
	WideClips      = "clips"                              // a change of partitions widens references to the whole partition
	Unclipped      = "compaction within clips"            // compaction takes what its inputs do not show
	AlwaysBottom   = "tombstones above older rows"        // compaction drops deletes wherever it is
	AppendCompact  = "compaction in its place"            // what compaction makes is the newest
	TornOutputs    = "all outputs of a compaction"        // the first is taken for all
	NoInputCheck   = "compaction's inputs"                // what was compacted need not be there any more
	MixBuckets     = "pure buckets"                       // compaction takes references of any bucket
	AmbiguousDone  = "reading back"                       // a request without an answer counts as done
	OtherBytes     = "same bytes"                         // what may have been lost is sent again with another nonce
	OwnNonce       = "own nonce"                          // nobody knows its own commit again
	RebaseOn412    = "412 deposes"                        // a commit that comes too late goes on top of the other
	SweepAll       = "term and floor of garbage"          // whatever is not named is deleted
	NoPins         = "pins"                               // garbage is what no state names
	NoClonePin     = "pin of a clone"                     // a clone begins with what nobody keeps for it
	ForeignDeletes = "own prefix"                         // a job deletes what it drops, also another's
	PinAfterCopy   = "pin before copy"                    // the copy is written first, then the pin
	RunlessNames   = "run in output names"                // outputs are named without it
	EarlyPublish   = "publish after commit"               // outputs are published when they are reported
	DropEarly      = "outputs wait"                       // outputs are dropped when they close
	FinishEarly    = "finished when published"            // a job is finished with outputs waiting
	ReuseNames     = "new names"                          // packs of a cut have one name
	KeepNumbers    = "new numbers after going back"       // outputs that were open keep their number
	KeepGeneration = "generations after going back"       // restored groups have the generations of the copy
	MixLanes       = "lanes of one watermark"             // a group's partitions share the lowest of their watermarks
	NoNonce        = "nonce"                              // equal roots are equal bytes, and have one version
	HoldsOn        = "hold of one coordinator"            // sources that hold for a coordinator hold on under the next
	EagerWatermark = "watermark after its rows"           // a watermark is passed on before the rows of its root are read
)
