package ui

// liveQueues is what pages follow that show more than one call.
const liveQueues = "queues"
