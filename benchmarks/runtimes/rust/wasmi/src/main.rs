//! wasmi: `runner-wasmi MODULE plain|fuel`.

use protocol::Runtime;
use wasmi::{Config, Engine, Instance, Linker, Module, Store, TypedFunc};

struct Wasmi {
    engine: Engine,
    metered: bool,
}

impl Runtime for Wasmi {
    type Module = Module;
    type Instance = (Store<()>, Instance);

    fn compile(&self, bytes: &[u8]) -> Module {
        Module::new(&self.engine, bytes).expect("the module")
    }

    fn instantiate(&self, module: &Module) -> Self::Instance {
        let mut store = Store::new(&self.engine, ());
        if self.metered {
            store.set_fuel(u64::MAX).expect("fuel");
        }
        let linker = Linker::<()>::new(&self.engine);
        let instance = linker.instantiate_and_start(&mut store, module).expect("an instance");
        (store, instance)
    }

    fn call(&self, (store, instance): &mut Self::Instance, name: &str, argument: i32, calls: u64) -> i32 {
        let function: TypedFunc<i32, i32> = instance.get_typed_func(&*store, name).expect("an export");
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
    let metered = arguments[2] == "fuel";
    let mut config = Config::default();
    config.consume_fuel(metered);
    protocol::serve(Wasmi { engine: Engine::new(&config), metered }, &bytes, "2.0.0");
}
