package batch

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/row"
)

// Builder builds columns of canonical types value by value; see row.Builder.
type Builder = row.Builder

// NewBuilder returns a builder of the schema's columns.
func NewBuilder(schema *arrow.Schema) *Builder { return row.NewBuilder(schema) }
