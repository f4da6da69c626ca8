// Package bind gives the nodes of a plan their columns and types, and cuts the plan into stages.
//
// Binding is done twice: with all columns of the sources, which finds what is wrong and which columns are used, and again with just those, so
// that a source reads no column in vain. Everything that is wrong is reported at once, each with the user's file and line.
//
// Stage 0 holds the nodes before any KeyBy; each KeyBy begins a stage of its own behind it, and belongs itself to the stage before.
package bind
