package access

// Tokens are the bearer tokens that are valid, by their SHA-256.
type Tokens struct{}

// ParseTokens reads a tokens file.
func ParseTokens(text []byte) (*Tokens, error) { return &Tokens{}, nil }
