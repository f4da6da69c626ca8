// Package run turns a job into a process.
//
// Main gives a job's binary its command line: the job's own parameters and the engine's flags, each also from the environment (SABOT_*) and a
// YAML file, live progress, signals and exit codes. Run embeds a job into another program.
//
// Both run the local role: coordinator and worker in one process, speaking the messages of checkpoint/pb over an in-process transport, with a
// folder as the bucket. Starting works as follows:
//
//	plan        the job's graph, all structural errors at once
//	lead        the bucket's lock; a second process of the same job waits or is told who holds it
//	read        CURRENT: nothing there, a run to resume, or a finished one
//	compare     inputs, outputs, partitions and graph with what was committed; a difference is refused, saying what and which flag goes on
//	commit      a root of a raised term, so that whoever ran the job before is fenced out
//	work        until the input ends and all is published, a signal comes, or an error that no restart mends
//
// Exit codes: 0 the job has ended and all its output is published; 1 it failed; 2 the command line or the job is wrong; 130 and 143 it was
// interrupted or terminated before its end, after a last checkpoint.
package run
