package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	edgev1 "parley.example/go/gen/parley/edge/v1"
	messagev1 "parley.example/go/gen/parley/message/v1"
	sessionv1 "parley.example/go/gen/parley/session/v1"
)

// A result is at most 4 MB, whatever else a frame holds is less.
const frameBytesMax = 5 << 20

// What outlives a connection: the position, what was seen, what is not acknowledged. An app keeps
// all of it on disk, and stores the position together with the messages.
type client struct {
	account       *account
	inboxEpoch    string
	inboxSequence int64
	maxMessageID  int64
	names         map[string]string
	// The channel_sequence that was seen last, by channel: what is not greater is a repetition.
	seen map[string]uint32

	mutex    sync.Mutex
	socket   *websocket.Conn
	nextID   uint32
	results  map[uint32]chan *edgev1.Result
	unsent   []*edgev1.Send
	channels map[string]string
}

func newClient(account *account) *client {
	return &client{
		account:  account,
		seen:     map[string]uint32{},
		results:  map[uint32]chan *edgev1.Result{},
		names:    map[string]string{},
		channels: map[string]string{},
	}
}

// Connects, signs in and takes frames until the connection ends.
func (c *client) connect(ctx context.Context) error {
	socket, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.account.url, "http")+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"parley.v1.protobuf"},
	})
	if err != nil {
		return err
	}
	socket.SetReadLimit(frameBytesMax)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.disconnect(socket)
	// Hello comes first, and nothing else before Welcome.
	if err := write(ctx, socket, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Hello{Hello: &edgev1.Hello{
		AccessToken:     c.account.accessToken,
		InboxEpoch:      c.inboxEpoch,
		InboxSequence:   c.inboxSequence,
		CurMaxMessageId: c.maxMessageID,
	}}}); err != nil {
		return err
	}
	for {
		frame, err := read(ctx, socket)
		if err != nil {
			return err
		}
		switch frame := frame.Frame.(type) {
		case *edgev1.ServerFrame_Welcome:
			c.welcome(ctx, socket, frame.Welcome)
		case *edgev1.ServerFrame_Deliveries:
			c.take(ctx, frame.Deliveries.Deliveries)
		case *edgev1.ServerFrame_CaughtUp:
			log.Print("connected")
		case *edgev1.ServerFrame_Reset_:
			// The inbox no longer holds what was missed: an app reads it from the history.
			c.inboxSequence = frame.Reset_.InboxSequence
		case *edgev1.ServerFrame_SendResult:
			c.sent(frame.SendResult)
		case *edgev1.ServerFrame_Result:
			c.answered(frame.Result)
		}
	}
}

func (c *client) welcome(ctx context.Context, socket *websocket.Conn, welcome *edgev1.Welcome) {
	c.inboxEpoch, c.inboxSequence = welcome.InboxEpoch, welcome.InboxSequence
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.socket = socket
	// What was not acknowledged may have arrived or not. Sent again with the same
	// client_message_id it is stored once.
	for _, send := range c.unsent {
		c.writeLocked(ctx, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Send{Send: send}})
	}
	go c.beat(ctx, time.Duration(welcome.HeartbeatIntervalMs)*time.Millisecond)
}

// Without it the edge takes the connection for dead, and the user for gone.
func (c *client) beat(ctx context.Context, interval time.Duration) {
	for {
		select {
		case <-time.After(interval):
			c.write(ctx, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Heartbeat{Heartbeat: &edgev1.Heartbeat{}}})
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) take(ctx context.Context, deliveries []*edgev1.Delivery) {
	for _, delivery := range deliveries {
		for _, item := range delivery.Entry.Items {
			if message := item.GetMessage(); message != nil {
				c.show(ctx, message)
			}
		}
		c.inboxSequence = delivery.InboxSequence
	}
	c.write(ctx, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Ack{Ack: &edgev1.Ack{
		InboxSequence:   c.inboxSequence,
		CurMaxMessageId: c.maxMessageID,
	}}})
}

func (c *client) show(ctx context.Context, message *messagev1.Message) {
	if message.ChannelSequence <= c.seen[message.ChannelId] {
		return
	}
	c.seen[message.ChannelId] = message.ChannelSequence
	c.maxMessageID = max(c.maxMessageID, message.MessageId)
	text, isText := message.Body.(*messagev1.Message_Text)
	if !isText || message.SenderId == c.account.userID {
		return
	}
	fmt.Printf("%s: %s\n", c.nameOf(ctx, message.SenderId), text.Text)
}

// Sends a text to a user, now or when there is a connection.
func (c *client) say(ctx context.Context, to, text string) error {
	channelID, err := c.channelWith(ctx, to)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.nextID++
	send := &edgev1.Send{RequestId: c.nextID, Request: &messagev1.SendMessageRequest{
		ChannelId:       channelID,
		ClientMessageId: id.String(),
		Text:            text,
	}}
	c.unsent = append(c.unsent, send)
	c.writeLocked(ctx, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Send{Send: send}})
	return nil
}

func (c *client) sent(result *edgev1.SendResult) {
	failure := result.GetError()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for i, send := range c.unsent {
		if send.RequestId != result.RequestId {
			continue
		}
		switch codes.Code(failure.GetCode()) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
			pause := max(time.Duration(failure.RetryAfterMs)*time.Millisecond, time.Second)
			time.AfterFunc(pause, func() {
				c.write(context.Background(), &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Send{Send: send}})
			})
			return
		}
		c.unsent = append(c.unsent[:i], c.unsent[i+1:]...)
		break
	}
	if failure != nil {
		log.Printf("refused: %s: %s", failure.Reason, failure.Message)
	}
}

// The channel of two users; it is made when the first of them asks for it.
func (c *client) channelWith(ctx context.Context, name string) (string, error) {
	c.mutex.Lock()
	channelID := c.channels[name]
	c.mutex.Unlock()
	if channelID != "" {
		return channelID, nil
	}
	var users sessionv1.ListUsersResponse
	if err := c.call(ctx, sessions+"ListUsers", &sessionv1.ListUsersRequest{Usernames: []string{name}}, &users); err != nil {
		return "", err
	}
	if len(users.Users) == 0 {
		return "", fmt.Errorf("there is no %s", name)
	}
	var made messagev1.CreateDirectChannelResponse
	if err := c.call(ctx, "/parley.message.v1.MessageService/CreateDirectChannel",
		&messagev1.CreateDirectChannelRequest{UserId: users.Users[0].UserId}, &made); err != nil {
		return "", err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.channels[name] = made.Channel.ChannelId
	return made.Channel.ChannelId, nil
}

// Asks over HTTP: the answer to a call over the socket would arrive in the loop that waits here.
func (c *client) nameOf(ctx context.Context, userID string) string {
	if name := c.names[userID]; name != "" {
		return name
	}
	var users sessionv1.ListUsersResponse
	_, err := c.account.post(ctx, sessions+"ListUsers", &sessionv1.ListUsersRequest{UserIds: []string{userID}}, &users)
	if err != nil || len(users.Users) == 0 {
		return userID
	}
	c.names[userID] = users.Users[0].Username
	return users.Users[0].Username
}

// Calls a public method of any service over the socket.
func (c *client) call(ctx context.Context, method string, request, response proto.Message) error {
	encoded, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	answer := make(chan *edgev1.Result, 1)
	c.mutex.Lock()
	c.nextID++
	requestID := c.nextID
	c.results[requestID] = answer
	err = c.writeLocked(ctx, &edgev1.ClientFrame{Frame: &edgev1.ClientFrame_Call{Call: &edgev1.Call{
		RequestId: requestID,
		Method:    strings.TrimPrefix(method, "/"),
		Request:   &edgev1.Call_Protobuf{Protobuf: encoded},
	}}})
	if err != nil {
		delete(c.results, requestID)
	}
	c.mutex.Unlock()
	if err != nil {
		return err
	}
	result, ok := <-answer
	if !ok {
		return errors.New("the connection broke before the answer came")
	}
	if failure := result.GetError(); failure != nil {
		return fmt.Errorf("%s: %s", failure.Reason, failure.Message)
	}
	return proto.Unmarshal(result.GetProtobuf(), response)
}

func (c *client) answered(result *edgev1.Result) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if answer, ok := c.results[result.RequestId]; ok {
		delete(c.results, result.RequestId)
		answer <- result
	}
}

// Calls that are unanswered when a connection breaks are given up; sends are kept.
func (c *client) disconnect(socket *websocket.Conn) {
	socket.CloseNow()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.socket = nil
	for requestID, answer := range c.results {
		delete(c.results, requestID)
		close(answer)
	}
}

func (c *client) write(ctx context.Context, frame *edgev1.ClientFrame) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.writeLocked(ctx, frame)
}

// A write that fails ends the connection, which the reading side notices.
func (c *client) writeLocked(ctx context.Context, frame *edgev1.ClientFrame) error {
	if c.socket == nil {
		return errors.New("not connected")
	}
	return write(ctx, c.socket, frame)
}

func write(ctx context.Context, socket *websocket.Conn, frame *edgev1.ClientFrame) error {
	encoded, err := proto.Marshal(frame)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return socket.Write(ctx, websocket.MessageBinary, encoded)
}

func read(ctx context.Context, socket *websocket.Conn) (*edgev1.ServerFrame, error) {
	_, encoded, err := socket.Read(ctx)
	if err != nil {
		return nil, err
	}
	frame := &edgev1.ServerFrame{}
	return frame, proto.Unmarshal(encoded, frame)
}
