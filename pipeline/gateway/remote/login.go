package remote

import (
	"context"
	"fmt"
	"net/http"

	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
)

// token returns the session's token, after a login if there is none.
func (s *Store) token(ctx context.Context, x *session) (string, error) {
	if x == nil {
		return "", nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.token == "" {
		if err := s.login(ctx, x); err != nil {
			return "", err
		}
	}
	return x.token, nil
}

// login fetches a challenge and signs it for the gateway that was dialed, so that no other server can use
// the signature. The caller holds x.mu. It is one try: whoever needs the token tries again.
func (s *Store) login(ctx context.Context, x *session) error {
	if s.config.Key == nil {
		return fmt.Errorf("%w: without the vehicle's key only public objects can be read", ErrRefused)
	}
	var c wire.Challenge
	if err := s.tell(ctx, wire.PathChallenge, nil, &c); err != nil {
		return err
	}
	if len(c.Challenge) == 0 || len(c.Challenge) > wire.MaxChallenge {
		return fmt.Errorf("%w: challenge of %d bytes", errProtocol, len(c.Challenge))
	}
	l := wire.Login{
		Version: wire.Version, Challenge: c.Challenge, TaskID: x.name.Task, RoundID: x.round,
		Epoch: x.name.Epoch, Lane: x.name.Lane, Vehicle: s.config.Vehicle,
	}
	l.Sign(s.config.Key, wire.GatewayName(s.base))
	var t wire.Token
	if err := s.tell(ctx, wire.PathLogin, l, &t); err != nil {
		return err
	}
	if len(t.Token) == 0 || len(t.Token) > wire.MaxToken {
		return fmt.Errorf("%w: token of %d bytes", errProtocol, len(t.Token))
	}
	x.token = t.Token
	return nil
}

// tell posts one message and reads the answer.
func (s *Store) tell(ctx context.Context, path string, message, into any) error {
	body, err := encode(message)
	if err != nil {
		return err
	}
	r, err := s.once(ctx, call{method: http.MethodPost, path: path, body: body, into: into})
	if err != nil {
		return err
	}
	return r.Close()
}
