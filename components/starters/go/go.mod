module wit_component/export_twinloop_gateway_@ROLE@

go 1.25

require (
	go.bytecodealliance.org/pkg v0.4.0
	wit_component v0.0.0
)

replace (
	go.bytecodealliance.org/pkg => ./runtime
	wit_component => ./bindings
)
