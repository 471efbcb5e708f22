package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messagev1 "parley.example/go/gen/parley/message/v1"
)

type bot struct {
	messages messagev1.MessageServiceClient
	account  *account
	state    *state
	mention  *regexp.Regexp
}

// Follows the inbox from the bot's position until the stream breaks. The position moves only
// after an entry has been dealt with, so whatever breaks, it is followed from the right place.
func (b *bot) follow(ctx context.Context) error {
	// Ends the stream where this function gives up before it does.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	authorized, err := b.account.authorize(ctx)
	if err != nil {
		return err
	}
	stream, err := b.messages.Follow(authorized, &messagev1.FollowRequest{
		InboxEpoch:      b.state.InboxEpoch,
		InboxSequence:   b.state.InboxSequence,
		CurMaxMessageId: b.state.CurMaxMessageID,
	})
	if err != nil {
		return err
	}
	for {
		// Nothing else is read while a message is answered: Parley waits, and reads the rest of
		// the inbox for the bot when it is back.
		response, err := stream.Recv()
		if err != nil {
			return b.expectRevocation(ctx, err)
		}
		switch event := response.Event.(type) {
		case *messagev1.FollowResponse_Started:
			started := event.Started
			b.state.InboxEpoch = started.InboxEpoch
			err = b.goOnFrom(started.InboxSequence, started.ResetReason)
		case *messagev1.FollowResponse_Reset_:
			err = b.goOnFrom(event.Reset_.InboxSequence, event.Reset_.Reason)
		case *messagev1.FollowResponse_Deliveries:
			err = b.take(ctx, event.Deliveries.Deliveries)
		case *messagev1.FollowResponse_CaughtUp:
			log.Printf("caught up at %d", event.CaughtUp.InboxSequence)
		}
		if err != nil {
			return err
		}
	}
}

// An UNAUTHENTICATED stream may go on with new tokens, or the sign-in has been ended, which the
// refresh finds out.
func (b *bot) expectRevocation(ctx context.Context, err error) error {
	if status.Code(err) != codes.Unauthenticated {
		return err
	}
	if refreshed := b.account.refresh(ctx); refreshed != nil {
		return refreshed
	}
	return err
}

// A position that the inbox can't continue from: what lies between is only in the history. A
// bot that must not miss it reads it there (ListChannels, then ListMessages with
// after_message_id); this one lets it go.
func (b *bot) goOnFrom(sequence int64, reason messagev1.InboxResetReason) error {
	if reason != messagev1.InboxResetReason_INBOX_RESET_REASON_UNSPECIFIED {
		log.Printf("goes on from %d: %v", sequence, reason)
	}
	b.state.InboxSequence = sequence
	return b.state.save()
}

func (b *bot) take(ctx context.Context, deliveries []*messagev1.InboxDelivery) error {
	for _, delivery := range deliveries {
		for _, item := range delivery.Entry.Items {
			// Nil for kinds of items that came after this program.
			message := item.GetMessage()
			if message == nil {
				continue
			}
			if err := b.answer(ctx, message); err != nil {
				return err
			}
			b.state.CurMaxMessageID = max(b.state.CurMaxMessageID, message.MessageId)
		}
		b.state.InboxSequence = delivery.InboxSequence
		if err := b.state.save(); err != nil {
			return err
		}
	}
	// For a bot that loses its file. Tried once: the next one makes up for one that is lost.
	err := b.callOnce(ctx, func(ctx context.Context) error {
		_, err := b.messages.MarkDelivered(ctx, &messagev1.MarkDeliveredRequest{
			Cursor: &messagev1.DeviceCursor{
				InboxEpoch:      b.state.InboxEpoch,
				InboxSequence:   b.state.InboxSequence,
				CurMaxMessageId: b.state.CurMaxMessageID,
			},
		})
		return err
	})
	if err != nil {
		log.Printf("the position is not marked: %v", err)
	}
	return nil
}

func (b *bot) answer(ctx context.Context, message *messagev1.Message) error {
	if message.SenderId == b.state.UserID {
		return nil
	}
	text, err := b.textOf(ctx, message)
	if err != nil || !b.mention.MatchString(text) {
		return err
	}
	answer := &messagev1.SendMessageRequest{
		ChannelId:        message.ChannelId,
		ClientMessageId:  answerID(message),
		Text:             fmt.Sprintf("That was %d words.", len(strings.Fields(text))),
		ReplyToMessageId: message.MessageId,
	}
	err = b.call(ctx, func(ctx context.Context) error {
		_, err := b.messages.SendMessage(ctx, answer)
		return err
	})
	switch status.Code(err) {
	case codes.OK:
		log.Printf("answered %d", message.MessageId)
	case codes.PermissionDenied, codes.InvalidArgument, codes.AlreadyExists:
		// Removed from the group meanwhile, too old, or answered otherwise by another version.
		log.Printf("can't answer %d: %v", message.MessageId, err)
		return nil
	}
	return err
}

// The largest texts are left out of inboxes and read from the history.
func (b *bot) textOf(ctx context.Context, message *messagev1.Message) (string, error) {
	if !message.BodyOmitted {
		return message.GetText(), nil
	}
	var page *messagev1.ListMessagesResponse
	err := b.call(ctx, func(ctx context.Context) (err error) {
		page, err = b.messages.ListMessages(ctx, &messagev1.ListMessagesRequest{
			ChannelId: message.ChannelId,
			PageSize:  1,
			Start:     &messagev1.ListMessagesRequest_AroundMessageId{AroundMessageId: message.MessageId},
		})
		return err
	})
	if err != nil {
		return "", err
	}
	for _, found := range page.Messages {
		if found.MessageId == message.MessageId {
			return found.GetText(), nil
		}
	}
	return "", nil
}

// Makes a call, and makes it again where that may help. What is called here may be called any
// number of times: the same client_message_id never stores twice.
func (b *bot) call(ctx context.Context, call func(context.Context) error) error {
	const attempts = 8
	pause := 100 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := b.callOnce(ctx, call)
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		default:
			return err
		}
		if attempt == attempts {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

func (b *bot) callOnce(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ctx, err := b.account.authorize(ctx)
	if err != nil {
		return err
	}
	return call(ctx)
}

// The id of the answer to a message: a UUIDv7, as Parley wants it, but always the same one for
// the same message. So a bot that crashed between answering and storing its position answers
// again, and Parley recognises the answer.
func answerID(message *messagev1.Message) string {
	var id uuid.UUID
	hash := sha256.Sum256(fmt.Appendf(nil, "answer to %d", message.MessageId))
	copy(id[:], hash[:])
	var time [8]byte
	binary.BigEndian.PutUint64(time[:], uint64(message.SendTime.AsTime().UnixMilli()))
	copy(id[:6], time[2:])
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80 // RFC 9562's variant
	return id.String()
}

// "@name", and not the beginning of a longer name.
func mentionOf(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)@` + regexp.QuoteMeta(name) + `($|[^\w-])`)
}
