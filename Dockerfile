FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /refq ./cmd/refq

# Alpine and not an empty base: exec functions need at least a shell, and packages of their own.
FROM alpine:3.22
RUN apk add --no-cache ca-certificates tzdata && adduser -D -u 10001 refq
COPY --from=build /refq /usr/local/bin/refq
USER refq
WORKDIR /app
ENTRYPOINT ["refq"]
CMD ["worker"]
