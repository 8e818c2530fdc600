//! wasmer: `runner-wasmer MODULE cranelift|singlepass plain|fuel`.

use std::sync::Arc;

use protocol::Runtime;
use wasmer::sys::{CompilerConfig, Cranelift, EngineBuilder, Singlepass};
use wasmer::{imports, Engine, Instance, Module, Store, TypedFunction};
use wasmer_middlewares::Metering;

struct Wasmer {
    compiler: String,
    metered: bool,
    engine: Engine,
}

fn engine(compiler: &str, metered: bool) -> Engine {
    let mut config: Box<dyn CompilerConfig> = match compiler {
        "cranelift" => Box::new(Cranelift::default()),
        "singlepass" => Box::new(Singlepass::default()),
        other => panic!("unknown compiler {other:?}"),
    };
    if metered {
        config.push_middleware(Arc::new(Metering::new(u64::MAX, |_| 1)));
    }
    EngineBuilder::new(config).engine().into()
}

impl Runtime for Wasmer {
    type Module = (Engine, Module);
    type Instance = (Store, Instance);

    fn compile(&self, bytes: &[u8]) -> Self::Module {
        // A metering keeps what it found in its module, so a metered module has an engine of its own.
        let engine = if self.metered { engine(&self.compiler, true) } else { self.engine.clone() };
        let module = Module::new(&engine, bytes).expect("the module");
        (engine, module)
    }

    fn instantiate(&self, (engine, module): &Self::Module) -> Self::Instance {
        let mut store = Store::new(engine.clone());
        let instance = Instance::new(&mut store, module, &imports! {}).expect("an instance");
        (store, instance)
    }

    fn call(&self, (store, instance): &mut Self::Instance, name: &str, argument: i32, calls: u64) -> i32 {
        let function: TypedFunction<i32, i32> =
            instance.exports.get_typed_function(&*store, name).expect("an export");
        let mut word = 0;
        for _ in 0..calls {
            word = function.call(&mut *store, argument).expect("a result");
        }
        word
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let bytes = std::fs::read(&arguments[1]).expect("the module's file");
    let (compiler, metered) = (arguments[2].clone(), arguments[3] == "fuel");
    let engine = engine(&compiler, metered);
    protocol::serve(Wasmer { compiler, metered, engine }, &bytes, "7.4.2");
}
