package server_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks, when all tests have ended, whether they have left goroutines behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
