package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"
)

// What the bot remembers from one start to the next.
type state struct {
	path string

	UserID        string    `json:"user_id"`
	AccessToken   string    `json:"access_token"`
	AccessExpires time.Time `json:"access_expires"`
	RefreshToken  string    `json:"refresh_token"`

	// The bot's position in its inbox: everything up to it has been dealt with.
	InboxEpoch      string `json:"inbox_epoch"`
	InboxSequence   int64  `json:"inbox_sequence"`
	CurMaxMessageID int64  `json:"cur_max_message_id"`
}

func loadState(path string) (*state, error) {
	state := &state{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return nil, err
	}
	return state, json.Unmarshal(text, state)
}

func (s *state) isSignedIn() bool {
	return s.RefreshToken != ""
}

// A crash leaves the old file or the new one. For its owner alone: it holds tokens.
func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	next := s.path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path)
}
