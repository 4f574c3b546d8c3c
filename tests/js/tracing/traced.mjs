import { context, propagation, SpanKind, trace } from '@opentelemetry/api'

const tracer = trace.getTracer('publisher')

// Sends an event within a span. `send` gets { traceparent, tracestate? } and puts it into the event.
export async function traced(channel, send) {
  const span = tracer.startSpan(`publish ${channel}`, {
    kind: SpanKind.PRODUCER,
    attributes: {
      'messaging.system': 'redis',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.destination.name': channel,
    },
  })
  const carrier = {}
  propagation.inject(trace.setSpan(context.active(), span), carrier)
  try {
    return await send(carrier)
  } finally {
    span.end()
  }
}
