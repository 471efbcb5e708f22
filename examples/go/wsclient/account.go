package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	sessionv1 "parley.example/go/gen/parley/session/v1"
)

var errSignedOut = errors.New("the sign-in has been ended: sign in again")

// Signing in goes over HTTP: each public method is a POST of its request, here in Protobuf.
type account struct {
	url          string
	userID       string
	accessToken  string
	refreshToken string
}

const sessions = "/parley.session.v1.SessionService/"

func (a *account) signIn(ctx context.Context, name, password string, signUp bool) error {
	if signUp {
		var made sessionv1.SignUpResponse
		status, err := a.post(ctx, sessions+"SignUp", &sessionv1.SignUpRequest{
			Username: name, Password: password, DeviceName: "app in Go",
		}, &made)
		// 409: the name is taken, perhaps by the same person before.
		if status != http.StatusConflict {
			a.keep(made.User, made.Tokens)
			return err
		}
	}
	var found sessionv1.LogInResponse
	_, err := a.post(ctx, sessions+"LogIn", &sessionv1.LogInRequest{
		Login: name, Password: password, DeviceName: "app in Go",
	}, &found)
	a.keep(found.User, found.Tokens)
	return err
}

// A refresh token works once; an app stores the next one before it goes on.
func (a *account) refresh(ctx context.Context) error {
	var answer sessionv1.RefreshTokensResponse
	status, err := a.post(ctx, sessions+"RefreshTokens", &sessionv1.RefreshTokensRequest{
		RefreshToken: a.refreshToken,
	}, &answer)
	if status == http.StatusUnauthorized {
		return errSignedOut
	}
	a.keep(nil, answer.Tokens)
	return err
}

func (a *account) keep(user *sessionv1.User, tokens *sessionv1.Tokens) {
	if user != nil {
		a.userID = user.UserId
	}
	if tokens != nil {
		a.accessToken, a.refreshToken = tokens.AccessToken, tokens.RefreshToken
	}
}

// Returns the HTTP status with the error, 0 where there was no answer.
func (a *account) post(ctx context.Context, path string, request, response proto.Message) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	body, err := proto.Marshal(request)
	if err != nil {
		return 0, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	post.Header.Set("Content-Type", "application/proto")
	if a.accessToken != "" {
		post.Header.Set("Authorization", "Bearer "+a.accessToken)
	}
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return answer.StatusCode, err
	}
	if answer.StatusCode != http.StatusOK {
		// Errors are JSON: {"code": …, "message": …, "details": […]}.
		return answer.StatusCode, fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	return answer.StatusCode, proto.Unmarshal(text, response)
}
