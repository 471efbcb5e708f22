package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sessionv1 "parley.example/go/gen/parley/session/v1"
)

var errSignedOut = errors.New("the bot's sign-in has been ended: remove its state file and start it with a password")

// An account's device, and the tokens that it signs its calls with.
type account struct {
	sessions sessionv1.SessionServiceClient
	state    *state
}

// Signing up and logging in need no token; what they answer is kept.
func (a *account) signIn(ctx context.Context, name, password string, signUp bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if signUp {
		made, err := a.sessions.SignUp(ctx, &sessionv1.SignUpRequest{
			Username: name, Password: password, DeviceName: "bot in Go",
		})
		if err == nil {
			a.state.UserID = made.User.UserId
			return a.keep(made.Tokens)
		}
		if status.Code(err) != codes.AlreadyExists {
			return err
		}
	}
	found, err := a.sessions.LogIn(ctx, &sessionv1.LogInRequest{
		Login: name, Password: password, DeviceName: "bot in Go",
	})
	if err != nil {
		return err
	}
	a.state.UserID = found.User.UserId
	return a.keep(found.Tokens)
}

// Adds the access token to the calls made with the returned context. A token lives for minutes,
// so a new one is fetched when less than one is left.
func (a *account) authorize(ctx context.Context) (context.Context, error) {
	if time.Until(a.state.AccessExpires) < time.Minute {
		if err := a.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+a.state.AccessToken), nil
}

// A refresh token works once. The next one is stored before anything else is done.
func (a *account) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := a.sessions.RefreshTokens(ctx, &sessionv1.RefreshTokensRequest{
		RefreshToken: a.state.RefreshToken,
	})
	if status.Code(err) == codes.Unauthenticated {
		return errSignedOut
	}
	if err != nil {
		return err
	}
	return a.keep(answer.Tokens)
}

func (a *account) keep(tokens *sessionv1.Tokens) error {
	a.state.AccessToken = tokens.AccessToken
	a.state.AccessExpires = tokens.AccessExpireTime.AsTime()
	a.state.RefreshToken = tokens.RefreshToken
	return a.state.save()
}
